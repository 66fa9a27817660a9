/** `wss`: what encryption must not change, and every certificate that must not pass. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { makeCertificate } from '../helpers/certificate.ts';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { portOf, resultOf, startCoordinator, startNode, testToken, trainAlone } from '../helpers/cluster.ts';
import { lockstep } from '../helpers/command-line.ts';
import { endLeftovers } from '../helpers/lockstep-process.ts';

const shape = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '32', '--shards', '4'];
const recipe = [...shape, '--steps', '20'];

test.afterEach.always(endLeftovers);

/** Writes a certificate and its key. @returns their paths */
async function written(folder: string, name: string, options: Parameters<typeof makeCertificate>[0] = {}) {
  const { cert, key } = makeCertificate(options);
  const paths = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}-key.pem`) };
  await writeFile(paths.cert, cert);
  await writeFile(paths.key, key);
  return paths;
}

function tlsFlags({ cert, key }: { cert: string; key: string }): string[] {
  return ['--tls-cert', cert, '--tls-key', key];
}

test.serial('with --ca a node trains over wss, the same bits; whoever cannot verify is told so', (t) =>
  withFolder(async (folder) => {
    const alone = await trainAlone(recipe, folder, 1);
    const own = await written(folder, 'own');
    const other = await written(folder, 'other');
    const out = join(folder, 'run');
    const flags = tlsFlags(own);
    const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 2, out, flags });
    const port = await portOf(coordinator);
    t.is(coordinator.last('listening')?.['url'], `wss://127.0.0.1:${port}`);

    const url = `wss://127.0.0.1:${port}`;
    const refusals: [name: string, flags: string[]][] = [
      ['without', []],
      ['stranger', ['--ca', other.cert]],
      ['no-certificate', ['--ca', own.key]],
    ];
    const refused = refusals.map(async ([name, caFlags]) => {
      const node = startNode({ folder, name, port, url, flags: caFlags });
      t.is((await node.ended).code, 1, name);
      t.is(node.last('error')?.['code'], 'CERTIFICATE_INVALID', name);
      t.regex(String(node.last('error')?.['advice']), /--ca FILE/, name);
      // It does not go on trying: a certificate does not become right by itself.
      t.is(node.last('reconnecting'), undefined, name);
      t.is(node.events.filter(({ type }) => type === 'connecting').length, 1, name);
    });
    await Promise.all(refused);
    const plain = startNode({ folder, name: 'plain', port, flags: ['--patience', '0.2'] });
    t.is((await plain.ended).code, 1);
    t.is(plain.last('error')?.['code'], 'COORDINATOR_UNREACHABLE');

    const asked = await lockstep(['status', url, '--token', testToken, '--json', '--ca', own.cert]);
    t.deepEqual(asked.objects()[0]?.['members'], []);
    const unverified = await lockstep(['status', url, '--token', testToken, '--json']);
    t.is(unverified.code, 1);
    t.is(unverified.objects()[0]?.['code'], 'CERTIFICATE_INVALID');

    const nodes = ['n0', 'n1'].map((name) =>
      startNode({ folder, name, port, url, flags: ['--ca', own.cert] }),
    );
    await coordinator.ended;
    t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
    for (const node of nodes) t.is((await node.ended).code, 0);
  }),
);

test.serial('a certificate for another address, or that has ended, does not pass', (t) =>
  withFolder(async (folder) => {
    const cases = {
      elsewhere: await written(folder, 'elsewhere', { address: '192.0.2.1' }),
      expired: await written(folder, 'expired', { days: -1 }),
    };
    const [elsewhere, expired] = await Promise.all(
      Object.entries(cases).map(async ([name, paths]) => {
        const options = { folder, name: `${name}-run`, recipe, threads: 0, minNodes: 1 };
        const coordinator = startCoordinator({
          ...options,
          out: join(folder, name),
          flags: tlsFlags(paths),
        });
        const port = await portOf(coordinator);
        const url = `wss://127.0.0.1:${port}`;
        const node = startNode({ folder, name, port, url, flags: ['--ca', paths.cert] });
        await node.ended;
        await coordinator.stop('SIGTERM');
        return node.last('error');
      }),
    );
    t.is(elsewhere?.['code'], 'CERTIFICATE_INVALID');
    t.regex(String(elsewhere?.['message']), /127\.0\.0\.1/);
    t.is(expired?.['code'], 'CERTIFICATE_INVALID');
    t.regex(String(expired?.['message']), /expired/);
  }),
);

test.serial('files that are no certificate, or no pair, are refused before anybody can dial', (t) =>
  withFolder(async (folder) => {
    const own = await written(folder, 'own');
    const other = await written(folder, 'other');
    const broken = join(folder, 'broken.pem');
    await writeFile(
      broken,
      '-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n',
    );
    const cases: [name: string, flags: string[], code: string, exit: number][] = [
      [
        'missing',
        ['--tls-cert', join(folder, 'nowhere.pem'), '--tls-key', own.key],
        'CERTIFICATE_INVALID',
        1,
      ],
      ['broken', ['--tls-cert', broken, '--tls-key', own.key], 'CERTIFICATE_INVALID', 1],
      ['no-key', ['--tls-cert', own.cert, '--tls-key', own.cert], 'CERTIFICATE_INVALID', 1],
      ['mismatched', ['--tls-cert', own.cert, '--tls-key', other.key], 'CERTIFICATE_INVALID', 1],
      ['alone', ['--tls-cert', own.cert], 'USAGE', 2],
    ];
    const refused = cases.map(async ([name, flags, code, exit]) => {
      const options = { folder, name, recipe, threads: 0, minNodes: 1 };
      const coordinator = startCoordinator({ ...options, out: join(folder, name), flags });
      t.is((await coordinator.ended).code, exit, name);
      t.is(coordinator.last('error')?.['code'], code, name);
      t.is(coordinator.last('listening'), undefined, name);
    });
    await Promise.all(refused);
  }),
);
