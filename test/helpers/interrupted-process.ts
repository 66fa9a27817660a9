/** A process that takes signals as `lockstep train` does and never ends by itself: prints what it notices. */

import { interruptible } from '@lockstep/coordinator/interruption.ts';

const { signal } = interruptible((cause) => process.stdout.write(`announced ${cause}\n`));
signal.addEventListener('abort', () => process.stdout.write('aborted\n'));
setInterval(() => undefined, 1000);
process.stdout.write('ready\n');
