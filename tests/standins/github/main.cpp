#include "tests/standins/github/github.h"

#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>

// Runs the GitHub stand-in alone: standin-github [--port N] [--client-id ID] [--client-secret SECRET].
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
  ee::standins::Github github(clock, argument(argc, argv, "--client-id", "Iv1.test-client"),
                              argument(argc, argv, "--client-secret", "test-client-secret"));
  github.start(port);
  fmt::print("{}\n", github.url());
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
