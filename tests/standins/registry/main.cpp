#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>

#include "tests/standins/registry/registry.h"

// Runs the registry stand-in alone, with the image demo/hello:latest: standin-registry [--port N].
int main(int argc, char** argv) try {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread is made

  std::uint16_t port = 0;
  if (argc == 3 && std::strcmp(argv[1], "--port") == 0) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), port);
  ee::standins::Registry registry;
  registry.put_index("demo/hello", "latest", "hello");
  registry.start(port);
  fmt::print("{}\n", registry.host());
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
