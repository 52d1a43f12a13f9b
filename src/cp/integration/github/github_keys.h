#pragma once
#include <functional>

#include "common/metrics.h"
#include "cp/integration/jwks/jwks_cache.h"

namespace ee::cp::github {

/// How the keys of GitHub Actions' OIDC tokens are fetched (04 section 3.4): lazily, anew at 80 % of the TTL while they
/// are used, once per 10 s for an unknown kid, and never used past their TTL. Unknown keys are `oidc_invalid`, a set
/// that is not to be had `auth_unavailable`. Counts `ee_github_jwks_refresh_total{result}`; `wake_refresh` asks for the
/// job that calls JwksCache::refresh_due.
JwksLimits signing_key_limits(metrics::Registry& metrics, std::function<void()> wake_refresh);

}  // namespace ee::cp::github
