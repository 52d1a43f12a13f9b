#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/compose/compose.h"

namespace ee::compose::testing {

inline const std::string kDigest = "sha256:" + std::string(64, 'a');
inline const std::string kImage = "nginx@" + kDigest;

/// A file and what is wrong with it, sorted: `path code`, the path after `compose.`. No breaches: it is accepted.
struct Case {
  std::string text;
  std::vector<std::string> breaches = {};
};

/// Files that break, or do not break, the rules: each row of the table of 03 section 3.4 at, below and above its
/// bounds.
std::vector<Case> refused_key_cases();
std::vector<Case> process_cases();
std::vector<Case> limit_cases();
std::vector<Case> storage_cases();
std::vector<Case> network_cases();
std::vector<Case> name_cases();
std::vector<Case> expansion_cases();
std::vector<Case> all_cases();

/// A file with the service `web` of the pinned image and these further keys, in flow style.
std::string service_file(std::string_view keys);
/// A case of `service_file`; the paths of its breaches begin behind `services.web.`.
Case service_case(std::string_view keys, std::vector<std::string> breaches = {});

/// `count` items made from `item`, in which `{}` is the number, from 1.
std::string list_of(int count, std::string_view item);

/// A node of 4 vCPUs, 4 GiB and 2 GPUs, and no request.
CheckOptions options();

/// `path code` of each breach, sorted, without `compose.` in front.
std::vector<std::string> breaches_of(const Error& error);

}  // namespace ee::compose::testing
