#pragma once
#include <vector>

#include "cp/domain/cursor.h"
#include "cp/http/export_pump.h"
#include "cp/http/route.h"
#include "cp/jobs/job_admin.h"
#include "cp/service/account_money.h"
#include "cp/service/ledger_admin.h"
#include "cp/service/ledger_check.h"

namespace ee::cp {

/// Balance, transactions, usage and statements of accounts, and what administrators do with money (04 section 6.4).
struct LedgerRoutes {
  AccountMoney& money;
  LedgerAdmin& admin;
  LedgerCheck& check;
  JobAdmin& jobs;
  const CursorCodec& cursors;
  ExportPump& exports;
};

void add_ledger_routes(std::vector<Route>& table, LedgerRoutes& context);

}  // namespace ee::cp
