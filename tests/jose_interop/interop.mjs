// `make <out>`: random keys and claims for each algorithm, signed here.
// `github <out> <issuer> <audience> <now>`: GitHub Actions tokens, good and hostile, and the keys that vouch for them.
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

// Tokens as GitHub Actions makes them, and such as it never would, each with the verdict that they deserve.
async function github(out, issuer, audience, now) {
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const elliptic = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwks = [{ ...(await jose.exportJWK(key.publicKey)), kid: 'npm-jose', alg: 'RS256', use: 'sig' },
                { ...(await jose.exportJWK(elliptic.publicKey)), kid: 'npm-jose-ec', alg: 'ES256', use: 'sig' }];
  const claims = { sub: 'repo:octo-org/app:environment:production', repository: 'octo-org/app', repository_id: '7001',
                   repository_owner: 'octo-org', repository_owner_id: '9001', ref: 'refs/heads/main', sha: 'abc',
                   event_name: 'push', run_id: '1', actor: 'octocat', environment: 'production' };
  const token = (change = {}) => new jose.SignJWT({ ...claims, ...change }).setIssuer(issuer).setAudience(audience)
    .setJti(randomBytes(16).toString('hex')).setIssuedAt(Number(now)).setNotBefore(Number(now))
    .setExpirationTime(Number(now) + 300);
  const rs256 = { alg: 'RS256', kid: 'npm-jose', typ: 'JWT' };
  const spki = new TextEncoder().encode(key.publicKey.export({ type: 'spki', format: 'pem' }));
  const tokens = {
    good: ['ok', await token().setProtectedHeader(rs256).sign(key.privateKey)],
    without_typ: ['ok', await token().setProtectedHeader({ alg: 'RS256', kid: 'npm-jose' }).sign(key.privateKey)],
    one_audience: ['ok', await token().setAudience([audience]).setProtectedHeader(rs256).sign(key.privateKey)],
    two_audiences: ['oidc_invalid',
                    await token().setAudience([audience, 'x']).setProtectedHeader(rs256).sign(key.privateKey)],
    by_a_stranger: ['oidc_invalid', await token().setProtectedHeader(rs256).sign(stranger.privateKey)],
    ps256: ['oidc_invalid', await token().setProtectedHeader({ ...rs256, alg: 'PS256' }).sign(key.privateKey)],
    es256: ['oidc_invalid',
            await token().setProtectedHeader({ ...rs256, alg: 'ES256', kid: 'npm-jose-ec' }).sign(elliptic.privateKey)],
    hs256_by_the_public_key: ['oidc_invalid', await token().setProtectedHeader({ ...rs256, alg: 'HS256' }).sign(spki)],
    unsecured: ['oidc_invalid', new jose.UnsecuredJWT(claims).setIssuer(issuer).setAudience(audience).encode()],
    expired: ['oidc_invalid',
              await token().setExpirationTime(Number(now) - 31).setIssuedAt(Number(now) - 300)
                .setNotBefore(Number(now) - 300).setProtectedHeader(rs256).sign(key.privateKey)],
  };
  writeFileSync(out, JSON.stringify({ jwks: jwks.map((jwk) => JSON.stringify(jwk)), tokens }), { mode: 0o600 });
}

const [verb, ...rest] = process.argv.slice(2);
await { make, check, github }[verb](...rest);
