// Webhooks of Stripe. The input is the field Stripe-Signature, a line feed, and the body. It is checked as it is, and
// its body is read as if it had been signed, so that everything behind the signature runs as well.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "cp/integration/stripe/event.h"
#include "cp/integration/stripe/objects.h"
#include "cp/integration/stripe/webhook_signature.h"

namespace {

namespace stripe = ee::cp::stripe;

void expect(bool condition) {
  if (!condition) std::abort();
}

void fuzz_signature(std::string_view header, std::string_view body) {
  static const std::vector<ee::Secret> secrets = {ee::Secret("whsec_fuzz"), ee::Secret("whsec_other")};
  const auto read = stripe::parse_signature_header(header);
  if (read) expect(!read->v1.empty() && read->v1.size() <= stripe::kMaxSignatures && read->t >= 0);
  const auto verified =
      stripe::verify_webhook(body, header, secrets, ee::from_unix_ms(1'767'225'600'000), ee::Seconds(300));
  if (!read) expect(!verified);
}

void fuzz_event(std::string_view body) {
  const auto event = stripe::parse_event(body);
  if (!event) return;
  expect(event->id.starts_with("evt_") && event->id.size() <= 255);
  expect(stripe::is_word(event->type));
  if (const auto* intent = std::get_if<stripe::PaymentIntent>(&event->object))
    expect(stripe::is_object_id(intent->id, "pi_") && intent->amount_received >= 0 &&
           intent->amount_received <= stripe::kMaxCents);
  if (const auto* refund = std::get_if<stripe::Refund>(&event->object))
    expect(refund->amount > 0 && refund->amount <= stripe::kMaxCents &&
           (refund->payment_intent.empty() || stripe::is_object_id(refund->payment_intent, "pi_")));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ee::text_of({data, size});
  const std::size_t line = text.find('\n');
  const std::string_view header = text.substr(0, line);
  const std::string_view body = line == std::string_view::npos ? std::string_view{} : text.substr(line + 1);
  fuzz_signature(header, body);
  fuzz_event(body);
  return 0;
}
