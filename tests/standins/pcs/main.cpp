#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>

#include "tests/standins/pcs/pcs.h"

// Runs the PCS stand-in alone, with the emulator's collateral as of now: standin-pcs [--port N].
namespace {

std::uint16_t port_of(int argc, char** argv) {
  std::uint16_t port = 0;
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], "--port") == 0) std::from_chars(argv[i + 1], argv[i + 1] + std::strlen(argv[i + 1]), port);
  return port;
}

}  // namespace

int main(int argc, char** argv) try {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread is made

  ee::standins::Pcs pcs(ee::standins::PcsContent::emulated({.issued_at = ee::SystemClock().now()}));
  pcs.start(port_of(argc, argv));
  fmt::print("{}\n", pcs.url());
  std::fflush(stdout);
  int received = 0;
  sigwait(&signals, &received);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
