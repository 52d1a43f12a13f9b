#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>

#include "tests/standins/cloudflare/cloudflare.h"

// Runs the Cloudflare stand-in alone: standin-cloudflare [--port N] [--seed N]. Prints its URL, then the values to
// configure a control plane with.
namespace {

std::uint64_t number_of(int argc, char** argv, const char* name, std::uint64_t otherwise) {
  std::uint64_t value = otherwise;
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) std::from_chars(argv[i + 1], argv[i + 1] + std::strlen(argv[i + 1]), value);
  return value;
}

}  // namespace

int main(int argc, char** argv) try {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread is made

  ee::standins::CloudflareStandIn cloudflare({}, number_of(argc, argv, "--seed", 1));
  cloudflare.start(static_cast<std::uint16_t>(number_of(argc, argv, "--port", 0)));
  const auto& config = cloudflare.fake().config();
  fmt::print("{}\n", cloudflare.url());
  fmt::print("EE_CLOUDFLARE_API_URL={}\nCLOUDFLARE_ACCOUNT_ID={}\nCLOUDFLARE_ZONE_ID={}\nCLOUDFLARE_API_TOKEN={}\n",
             cloudflare.api_url(), config.account_id, config.zone_id, config.api_token);
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
