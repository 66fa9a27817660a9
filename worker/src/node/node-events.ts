/** What a node tells of itself: the terminal draws these, `--json` prints them. */

export interface ConnectingEvent {
  readonly type: 'connecting';
  readonly url: string;
}

/** The coordinator has taken this node. */
export interface JoinedEvent {
  readonly type: 'joined';
  readonly node: number;
  readonly name: string;
  readonly model: string;
  readonly dataset: string;
  readonly recipeSha256: string;
}

export interface FetchEvent {
  readonly type: 'data-progress';
  readonly dataset: string;
  readonly split: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Work may come. */
export interface ReadyEvent {
  readonly type: 'ready';
  readonly ranks: number;
  readonly seconds: number;
}

/** The connection has ended and is tried again. */
export interface ReconnectingEvent {
  readonly type: 'reconnecting';
  readonly milliseconds: number;
  readonly reason: string;
}

export interface NodeNotice {
  readonly type: 'notice';
  readonly text: string;
}

/** What a node has done, from time to time. */
export interface WorkingEvent {
  readonly type: 'working';
  readonly step: number;
  readonly shards: number;
  readonly samples: number;
  readonly imagesPerSecond: number;
}

export interface NodeResult {
  readonly type: 'result';
  readonly name: string;
  /** Shards and samples computed, the ones that came too late included. */
  readonly shards: number;
  readonly samples: number;
  readonly connections: number;
  readonly seconds: number;
  /** Why it ended, in words. */
  readonly reason: string;
  readonly interrupted: boolean;
}

export type NodeEvent =
  | ConnectingEvent
  | JoinedEvent
  | FetchEvent
  | ReadyEvent
  | ReconnectingEvent
  | NodeNotice
  | WorkingEvent
  | NodeResult;

export type NodeListener = (event: NodeEvent) => void;
