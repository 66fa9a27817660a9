/**
 * X.509 certificates made on the spot, so that no test needs `openssl` or a file that expires. Only what TLS asks for
 * is in them: names, times, a P-256 key, and whether it may sign others. DER by hand: X.690, RFC 5280.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

const tags = {
  integer: 2,
  bits: 3,
  octets: 4,
  oid: 6,
  utf8: 12,
  time: 24,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One DER value: tag, length, content. */
function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), body]);
}

const sequence = (...content: readonly Uint8Array[]): Buffer => der(tags.sequence, ...content);
const oid = (hex: string): Buffer => der(tags.oid, Buffer.from(hex, 'hex'));

const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
const yes = Buffer.from([1, 1, 255]);

function nameOf(commonName: string): Buffer {
  return sequence(der(tags.set, sequence(oid('550403'), der(tags.utf8, Buffer.from(commonName)))));
}

function timeOf(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/\.\d+/, '').replaceAll(/[-:T]/g, '');
  return der(tags.time, Buffer.from(digits));
}

function pem(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

export interface MadeCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** IPv4 address that it is for. */
  readonly address?: string;
  /** Days from now at which it ends; below 0: it has expired. */
  readonly days?: number;
}

/** A certificate that is its own authority: what `--tls-cert` serves is what `--ca` trusts. */
export function makeCertificate(options: CertificateOptions = {}): MadeCertificate {
  const { address = '127.0.0.1', days = 2 } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const day = 24 * 3600 * 1000;
  const name = nameOf('lockstep test');
  const alternativeNames = sequence(der(0x87, Uint8Array.from(address.split('.'), Number)));
  const extensions = sequence(
    sequence(oid('551d13'), yes, der(tags.octets, sequence(yes))),
    sequence(oid('551d11'), der(tags.octets, alternativeNames)),
  );
  const content = sequence(
    der(0xa0, der(tags.integer, Uint8Array.of(2))),
    der(tags.integer, Uint8Array.of(1, Math.floor(Math.random() * 256))),
    ecdsaWithSha256,
    name,
    sequence(timeOf(Date.now() - 30 * day), timeOf(Date.now() + days * day)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  );
  return { cert: pem(signed(content, privateKey)), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}

function signed(content: Buffer, key: KeyObject): Buffer {
  const signature = sign('sha256', content, key);
  return sequence(content, ecdsaWithSha256, der(tags.bits, Uint8Array.of(0), signature));
}
