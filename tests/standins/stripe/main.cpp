#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>

#include "tests/standins/stripe/stripe.h"

// Runs the Stripe stand-in alone: standin-stripe [--port N] [--key KEY] [--webhook-secret SECRET] [--webhook-url URL].
// Prints its URL, then the values to configure a control plane with.
namespace {

std::string argument(int argc, char** argv, const char* name, std::string fallback) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) fallback = argv[i + 1];
  return fallback;
}

}  // namespace

int main(int argc, char** argv) try {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread is made

  std::uint16_t port = 0;
  const std::string port_text = argument(argc, argv, "--port", "0");
  std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  ee::SystemClock clock;
  ee::standins::StripeStandIn stripe(
      clock, {.secret_key = argument(argc, argv, "--key", "sk_test_standin"),
              .webhook_secret = argument(argc, argv, "--webhook-secret", "whsec_standin"),
              .webhook_url = argument(argc, argv, "--webhook-url", "http://127.0.0.1:8080/api/v1/webhooks/stripe")});
  stripe.start(port);
  fmt::print("{}\nEE_STRIPE_API_URL={}\nSTRIPE_SECRET_KEY={}\nSTRIPE_WEBHOOK_SECRET={}\n", stripe.url(), stripe.url(),
             stripe.config().secret_key, stripe.config().webhook_secret);
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
