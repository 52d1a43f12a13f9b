#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>

#include "tests/standins/intel_ta/intel_ta.h"

// Runs the Intel Trust Authority stand-in alone: standin-intel_ta [--port N] [--api-key KEY] [--issuer URL].
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
  ee::standins::IntelTa intel_ta(clock, argument(argc, argv, "--api-key", "test-api-key"));
  ee::standins::IntelTaToken token;
  token.issuer = argument(argc, argv, "--issuer", token.issuer);
  intel_ta.set_token(token);
  intel_ta.start(port);
  fmt::print("{}\n", intel_ta.url());
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
