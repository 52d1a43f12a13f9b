#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "common/bytes.h"

namespace ee::testing {

/// The folder of recorded evidence: `EE_TEST_VECTORS`, else ../shared/vectors from the project's root. Nothing when
/// it is absent: the test then skips and says so.
std::optional<std::filesystem::path> vectors_dir();
/// A file of it, whole; throws when it cannot be read.
ByteVector read_vector(const std::string& name);
std::string read_vector_text(const std::string& name);

}  // namespace ee::testing

/// First line of a test that needs recorded evidence.
#define EE_NEED_VECTORS() \
  if (!ee::testing::vectors_dir()) GTEST_SKIP() << "no recorded evidence: set EE_TEST_VECTORS"
