// `make <out>`: webhooks signed by Stripe's library, with the header that it makes.
// `check <in>`: webhooks signed elsewhere; exit status 1 unless the library takes the good ones and refuses the bad.
import { readFileSync, writeFileSync } from 'node:fs';
import { randomBytes, randomInt } from 'node:crypto';
import Stripe from 'stripe';

const CASES = 20;
const stripe = new Stripe('sk_test_not_used');

function make(out) {
  const cases = [];
  for (let i = 0; i < CASES; i++) {
    const secret = 'whsec_' + randomBytes(1 + randomInt(40)).toString('base64');
    const timestamp = 1767225600 + randomInt(-300, 301);
    const payload = JSON.stringify({ id: 'evt_' + i, text: 'ü✓\u0001"\\' + randomBytes(randomInt(3000)).toString('base64') });
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
    cases.push({ secret, payload, header });
  }
  writeFileSync(out, JSON.stringify({ cases }), { mode: 0o600 });
}

function check(input) {
  const { now, cases } = JSON.parse(readFileSync(input, 'utf8'));
  if (cases.length !== 2 * CASES) throw new Error('cases are missing');
  for (const { secret, payload, header, good } of cases) {
    let taken = true;
    try {
      stripe.webhooks.constructEvent(payload, header, secret, 300, undefined, now * 1000);
    } catch (error) {
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw error;
      taken = false;
    }
    if (taken !== good) throw new Error(`the library ${taken ? 'takes' : 'refuses'} ${header}`);
  }
}

const [verb, file] = process.argv.slice(2);
({ make, check })[verb](file);
