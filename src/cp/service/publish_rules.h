#pragma once
#include "common/compose/compose.h"
#include "cp/service/app_versions.h"

namespace ee::cp {

/// The fields of a version but its compose text. Errors: invalid_request, unknown_node_size.
Result<void> check_version_request(const VersionRequest& wanted);
/// The rules of 03 section 3.4 as they can be judged before there is a deployment: tags are allowed, since they are
/// resolved. Errors: compose_invalid, compose_forbidden, ingress_port_unpublished.
Result<compose::Workload> check_published_compose(const VersionRequest& wanted, const PublishSettings& settings);
/// The same for a stored row.
Result<compose::Workload> check_stored_compose(const AppVersionRow& row, const PublishSettings& settings);

}  // namespace ee::cp
