#include "cp/jobs/ledger_jobs.h"

namespace ee::cp {

JobDefinition ledger_verify(LedgerCheck& check) {
  return {.name = "ledger_verify",
          .period = every(Seconds(3600)),
          .timeout = Seconds(1800),
          .run = [&check](const JobContext& context) { return check.run(context.stop); }};
}

}  // namespace ee::cp
