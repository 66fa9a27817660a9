/** The program that times oneDNN, running. */
import { type OperationCase, onednnRequest, operationFlops } from './kernel-shapes.ts';
import { LineProcess } from './line-process.ts';
import { limitedEnvironment, type VectorLimit } from './machine.ts';
import { isPositive, objectFrom, parsePeerMessage } from './peer-message.ts';

/** `wall`: median of the calls; `processor`: mean time on a processor, which other processes hardly change. */
export type ClockName = 'wall' | 'processor';

/** Seconds that an answer may take. */
const answerLimit = 120;

export class OnednnProcess {
  /** Name and version of the library, and the vector instructions that it uses. */
  readonly version: string;
  private readonly lines: LineProcess;

  private constructor(lines: LineProcess, version: string) {
    this.lines = lines;
    this.version = version;
  }

  /** Rejects with the reason when the program does not run. */
  static async start(program: string, limit: VectorLimit | null): Promise<OnednnProcess> {
    const lines = new LineProcess({
      file: program,
      args: [],
      env: { OMP_NUM_THREADS: '1', ...limitedEnvironment(limit) },
    });
    const greeting = parsePeerMessage(await lines.nextLine(answerLimit));
    if (greeting?.kind === 'ready') {
      return new OnednnProcess(lines, `${greeting.version} (${greeting.detail})`);
    }
    await lines.stop();
    throw new Error('it does not say its version');
  }

  /** GFLOP/s of an operation, over about so many milliseconds. Rejects with the library's reason when it cannot. */
  async rate(entry: OperationCase, milliseconds: number, clock: ClockName): Promise<number> {
    this.lines.send(onednnRequest(entry, milliseconds));
    const line = await this.lines.nextLine(answerLimit);
    const answer = objectFrom(line);
    const found = answer?.[clock === 'wall' ? 'medianMs' : 'processorMs'];
    if (!isPositive(found)) throw new Error(String(answer?.['error'] ?? `it answers '${line.slice(0, 80)}'`));
    return operationFlops(entry) / found / 1e6;
  }

  async stop(): Promise<void> {
    await this.lines.stop();
  }
}
