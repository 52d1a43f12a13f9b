#pragma once
#include <span>
#include <vector>

#include "attestation/verify/json_fields.h"
#include "attestation/verify/tcb_level.h"

namespace ee::attestation {

/// `issueDate`, `nextUpdate`, `tcbEvaluationDataNumber`.
DocumentDates read_dates(const Fields& document);
/// `tcbStatus`, `tcbDate`, `advisoryIDs` of one level.
TcbVerdict read_verdict(const Fields& level, std::span<const TcbStatus> allowed);
/// `tcbLevels` of an identity, sorted by isvsvn, highest first. Statuses: UpToDate, OutOfDate, Revoked.
std::vector<IsvLevel> read_isv_levels(const Fields& identity);

}  // namespace ee::attestation
