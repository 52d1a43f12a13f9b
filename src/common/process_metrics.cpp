#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "common/metrics.h"

namespace ee::metrics {
namespace {

struct ProcessUse {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double threads = 0;
};

/// proc(5), /proc/[pid]/stat: after the command in parentheses come field 3 and on; 14 utime, 15 stime, 20 threads,
/// 24 resident pages.
ProcessUse process_use() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t command_end = text.rfind(')');
  if (command_end == std::string::npos) return {};
  std::istringstream fields(text.substr(command_end + 1));
  std::string field;
  ProcessUse use;
  double ticks = 0;
  for (int number = 3; number <= 24 && fields >> field; ++number) {
    if (number == 14 || number == 15) ticks += std::stod(field);
    if (number == 20) use.threads = std::stod(field);
    if (number == 24) use.resident_bytes = std::stod(field) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  }
  use.cpu_seconds = ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return use;
}

double open_files() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error))
    ++count;
  return count;
}

}  // namespace

void Registry::add_process_metrics() {
  const Gauge cpu = gauge("process_cpu_seconds_total", "User and system CPU time of the process.");
  const Gauge resident = gauge("process_resident_memory_bytes", "Resident memory of the process.");
  const Gauge files = gauge("process_open_fds", "Open file descriptors of the process.");
  const Gauge threads = gauge("process_threads", "Threads of the process.");
  on_collect([=] {
    const ProcessUse use = process_use();
    cpu.set(use.cpu_seconds);
    resident.set(use.resident_bytes);
    files.set(open_files());
    threads.set(use.threads);
  });
}

}  // namespace ee::metrics
