// `make <out>`: random keys and claims for each algorithm, signed here.
// `check <in>`: tokens made elsewhere for those keys; exit status 1 if one does not verify to its claims.
import { readFileSync, writeFileSync } from 'node:fs';
import { randomBytes, randomInt, generateKeyPairSync } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import * as jose from 'jose';

const CASES_PER_ALGORITHM = 4;
const algorithms = {
  PS384: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

function randomClaims() {
  const claims = { iss: 'https://issuer.example', iat: randomInt(2 ** 31), sub: randomBytes(randomInt(40)).toString('hex') };
  for (let i = randomInt(6); i > 0; i--) claims['c' + i] = [randomBytes(9).toString('base64'), 'ü✓\u0001"\\', null, true][i % 4];
  return claims;
}

async function make(out) {
  const cases = [];
  for (const [alg, generate] of Object.entries(algorithms)) {
    for (let i = 0; i < CASES_PER_ALGORITHM; i++) {
      const { publicKey, privateKey } = generate();
      const claims = randomClaims();
      const kid = randomBytes(8).toString('hex');
      const token = await new jose.SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(privateKey);
      const jwk = { ...(await jose.exportJWK(publicKey)), kid, alg, use: 'sig' };
      cases.push({ alg, kid, token, claims: JSON.stringify(claims), jwk: JSON.stringify(jwk),
                   pem: privateKey.export({ type: 'pkcs8', format: 'pem' }) });
    }
  }
  writeFileSync(out, JSON.stringify({ cases }), { mode: 0o600 });
}

async function check(input) {
  const { cases } = JSON.parse(readFileSync(input, 'utf8'));
  if (cases.length !== CASES_PER_ALGORITHM * Object.keys(algorithms).length) throw new Error('cases are missing');
  for (const { alg, kid, token, claims, jwk } of cases) {
    const key = await jose.importJWK(JSON.parse(jwk), alg);
    const { payload, protectedHeader } = await jose.jwtVerify(token, key, { algorithms: [alg], typ: 'JWT' });
    if (protectedHeader.kid !== kid || protectedHeader.alg !== alg) throw new Error('header differs');
    if (!isDeepStrictEqual(payload, JSON.parse(claims))) throw new Error('claims differ');
  }
}

const [verb, file] = process.argv.slice(2);
await { make, check }[verb](file);
