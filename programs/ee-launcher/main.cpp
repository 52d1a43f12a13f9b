// `ee-launcher`: command line around src/launcher.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "launcher/offline_measure.h"

namespace {

using ee::launcher::MeasureArguments;
using ee::launcher::MeasureExit;

struct Measure {
  explicit Measure(CLI::App& cli)
      : command(cli.add_subcommand("measure", "compute measurements without starting a VM")) {
    command->add_option("--firmware", arguments.firmware, "TDVF firmware file")->required();
    command->add_option("--page-order", arguments.page_order,
                        "single or two-pass: how the host adds and extends pages");
    command->add_option("--kernel", arguments.kernel, "kernel of a direct boot; predicts RTMR1 and RTMR2");
    command->add_option("--initrd", arguments.initrd, "initrd of a direct boot");
    command->add_option("--cmdline", arguments.command_line, "kernel command line of a direct boot");
    command->add_option("--expect-mrtd", arguments.expect_mrtd, "exit with 1 when the MRTD is another");
    command->add_flag("--json", arguments.json, "print JSON");
  }
  int run() const {
    const auto outcome = ee::launcher::measure_offline(arguments);
    std::fputs(outcome.output.c_str(), stdout);
    if (!outcome.problem.empty()) fmt::print(stderr, "ee-launcher: {}\n", outcome.problem);
    return static_cast<int>(outcome.exit);
  }

  CLI::App* command;
  MeasureArguments arguments;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("easyenclave launcher");
  cli.require_subcommand(1);
  Measure measure(cli);
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : static_cast<int>(MeasureExit::usage);
  }
  try {
    return measure.run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "ee-launcher: {}\n", error.what());
    return static_cast<int>(MeasureExit::unreadable);
  }
}
