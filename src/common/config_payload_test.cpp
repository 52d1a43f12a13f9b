#include "common/config_payload.h"

#include <gtest/gtest.h>

#include <random>

namespace ee {
namespace {

constexpr std::string_view kPayload =
    R"({"control_plane_url":"https://cp.example","mode":"agent","node_size":"tiny","v":1,"vm_name":"a1"})";
constexpr std::size_t kSector = 2048;

TEST(ConfigPayload, what_was_written_is_read_byte_for_byte) {
  std::mt19937 engine(7);
  for (const std::size_t size : {0UL, 1UL, 97UL, kSector - 1, kSector, kSector + 1, 20000UL, kMaxConfigPayload}) {
    std::string payload(size, '\0');
    for (char& c : payload) c = static_cast<char>(engine());
    const auto image = encode_config_disk(payload);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->size() % (1024UL * 1024), 0U);
    const auto read = decode_config_disk(*image);
    ASSERT_TRUE(read && *read) << size;
    EXPECT_EQ(**read, payload);
    EXPECT_EQ(encode_config_disk(payload).value(), *image);
  }
  EXPECT_EQ(encode_config_disk(std::string(kMaxConfigPayload + 1, 'x')).error().code, ErrorCode::body_too_large);
}

TEST(ConfigPayload, other_disks_are_not_ours) {
  EXPECT_FALSE(decode_config_disk("").value());
  EXPECT_FALSE(decode_config_disk(std::string(1024UL * 1024, '\0')).value());
  std::string other = encode_config_disk(kPayload).value();
  other.replace(16 * kSector + 40, 8, "SOMEDISK");
  EXPECT_FALSE(decode_config_disk(other).value());
}

TEST(ConfigPayload, a_disk_of_ours_that_is_malformed_is_an_error) {
  const std::string good = encode_config_disk(kPayload).value();
  const auto with = [&](std::size_t at, std::uint8_t value) {
    std::string image = good;
    image[at] = static_cast<char>(value);
    return decode_config_disk(image);
  };
  const std::size_t root = 20 * kSector;
  const std::size_t file = root + 68;
  for (const auto& [at, value] :
       std::vector<std::pair<std::size_t, std::uint8_t>>{{16 * kSector + 129, 16},   // block size
                                                         {16 * kSector + 158, 200},  // root: the two byte orders differ
                                                         {16 * kSector + 167, 0xff},  // root: its size
                                                         {file, 10},                  // record too short
                                                         {file + 32, 200},            // name beyond the record
                                                         {file + 33, 'X'},            // another name
                                                         {file + 12, 2},              // size in one order only
                                                         {file + 25, 2},              // a directory
                                                         {root + 34, 1}})             // a broken record before it
    EXPECT_FALSE(with(at, value)) << at - (at >= root ? root : 16 * kSector);
  std::string large = good;
  large[file + 12] = 2;  // 128 KiB and more, in both orders
  large[file + 15] = 2;
  EXPECT_EQ(decode_config_disk(large).error().code, ErrorCode::invalid_request);
  EXPECT_FALSE(decode_config_disk(std::string_view(good).substr(0, 20 * kSector)));
  EXPECT_FALSE(decode_config_disk(std::string_view(good).substr(0, 21 * kSector + 10)));
}

}  // namespace
}  // namespace ee
