#pragma once
#include "cp/jobs/job.h"
#include "cp/service/ledger_check.h"

namespace ee::cp {

/// Hourly: accounts whose balance changed; once a day everything (04 sections 6.3, 10). `check` outlives it.
JobDefinition ledger_verify(LedgerCheck& check);

}  // namespace ee::cp
