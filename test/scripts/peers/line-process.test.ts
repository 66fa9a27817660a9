import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { endInWords, LineProcess } from '@lockstep/scripts/src/peers/line-process.ts';
import { PeerProcess } from '@lockstep/scripts/src/peers/peer-process.ts';

function node(script: string): { file: string; args: string[] } {
  return { file: process.execPath, args: ['--input-type=module', '-e', script] };
}

test('questions are answered line by line, and the end of the questions ends the child', async (t) => {
  const echo = new LineProcess(node('process.stdin.pipe(process.stdout)'));
  echo.send('one');
  echo.send('two');
  t.is(await echo.nextLine(30), 'one');
  t.is(await echo.nextLine(30), 'two');
  await echo.stop();
  await t.throwsAsync(echo.nextLine(1), { message: /exit code 0/ });
});

test('a child that ends early says why', async (t) => {
  const failing = new LineProcess(node('console.error("no torch here"); process.exit(3)'));
  await t.throwsAsync(failing.nextLine(30), { message: 'it ended with exit code 3: no torch here' });
  await failing.stop();
});

test('a program that is not there is a reason, too', async (t) => {
  const nothing = new LineProcess({ file: '/nowhere/program', args: [] });
  await t.throwsAsync(nothing.nextLine(30), { message: /ENOENT/ });
  await nothing.stop();
});

test('a child that does not answer is given up, and killed when it does not end', async (t) => {
  const silent = new LineProcess(node('setInterval(() => {}, 1000)'));
  await t.throwsAsync(silent.nextLine(0.05), { message: /no answer within 0.05 s/ });
  await silent.stop(0.05);
  await t.throwsAsync(silent.nextLine(1), { message: /SIGKILL/ });
});

test('a peer: greeting, measurements, noise in between, failure', async (t) => {
  const peer = await PeerProcess.start(
    node(`
      import { createInterface } from 'node:readline';
      console.log('a banner of the library');
      console.log('{"ready": {"version": "Fake 1", "detail": ""}}');
      let asked = 0;
      for await (const line of createInterface({ input: process.stdin })) {
        const { measure } = JSON.parse(line);
        if (++asked === 3) console.log('{"error": "out of breath"}');
        else console.log('a warning\\n' + JSON.stringify({ imagesPerSecond: measure * 10, steps: 1, peakBytes: 1 }));
      }`),
  );
  t.is(peer.ready.version, 'Fake 1');
  t.is((await peer.measure(2)).imagesPerSecond, 20);
  t.is((await peer.measure(3)).imagesPerSecond, 30);
  await t.throwsAsync(peer.measure(1), { message: 'out of breath' });
  await peer.stop();
});

/** Tells its id as its version, starts another process, and measures whether that one stands still: 1, or 2. */
const peerOfTwo = node(`
  import { spawn } from 'node:child_process';
  import { readFileSync } from 'node:fs';
  import { createInterface } from 'node:readline';
  const other = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const isStopped = (id) => readFileSync('/proc/' + id + '/stat', 'utf8').split(') ')[1].startsWith('T');
  console.log(JSON.stringify({ ready: { version: String(process.pid), detail: '', others: [other.pid] } }));
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify({ imagesPerSecond: isStopped(other.pid) ? 1 : 2, steps: 1, peakBytes: 1 }));
  }
  other.stdin.end();`);

test('a peer and what it has started stand still unless they measure', async (t) => {
  if (process.platform !== 'linux') {
    t.pass('states of processes are read as Linux shows them');
    return;
  }
  const peer = await PeerProcess.start(peerOfTwo);
  const ids = [Number(peer.ready.version), ...peer.ready.others];
  t.is(ids.length, 2);
  t.true(await allBecome('T', ids));
  t.is((await peer.measure(1)).imagesPerSecond, 2);
  t.true(await allBecome('T', ids));
  await peer.stop();
  t.true(await allBecome('gone', ids));
});

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test(`${signal} for whoever has started peers leaves none of them behind, stopped`, async (t) => {
    if (process.platform !== 'linux') {
      t.pass('states of processes are read as Linux shows them');
      return;
    }
    const module = import.meta.resolve('@lockstep/scripts/src/peers/peer-process.ts');
    const owner = new LineProcess(
      node(`
        import { PeerProcess } from ${JSON.stringify(module)};
        const { ready } = await PeerProcess.start(${JSON.stringify(peerOfTwo)});
        console.log(JSON.stringify([Number(ready.version), ...ready.others]));
        setInterval(() => {}, 1000);`),
    );
    const ids = JSON.parse(await owner.nextLine(30)) as number[];
    t.is(ids.length, 2);
    t.true(await allBecome('T', ids));
    owner.signal(signal);
    t.true(await allBecome('gone', ids));
    await owner.stop();
  });
}

/** Whether all processes come to this state, of `T` (stopped), `gone` and others, within half a minute. */
async function allBecome(state: string, ids: readonly number[]): Promise<boolean> {
  for (let look = 0; look < 600; look++) {
    if (ids.every((id) => stateOf(id) === state)) return true;
    await sleep(50);
  }
  return false;
}

function stateOf(id: number): string {
  try {
    const state = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ')[1]?.[0] ?? 'gone';
    return state === 'Z' ? 'gone' : state;
  } catch {
    return 'gone';
  }
}

test('a peer that cannot start rejects with its reason', async (t) => {
  const reason = `console.log('{"error": "the kernel is not registered"}')`;
  await t.throwsAsync(PeerProcess.start(node(reason)), { message: 'the kernel is not registered' });
});

test('the last line of the errors says most', (t) => {
  t.is(
    endInWords(1, null, 'Traceback\n  somewhere\nImportError: no torch\n\n'),
    'it ended with exit code 1: ImportError: no torch',
  );
  t.is(endInWords(null, 'SIGKILL', ''), 'it ended with signal SIGKILL');
});
