#include "common/image_ref.h"

#include <gtest/gtest.h>

namespace ee {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

struct Good {
  std::string text;
  std::string host;
  std::string path;
  std::string tag;
  bool digest = false;
};

// covers: S01_OCI_001
TEST(ImageRef, S01_OCI_001_reads_each_form) {
  const std::vector<Good> cases = {
      {"nginx", "docker.io", "library/nginx", "latest"},
      {"nginx:1.27", "docker.io", "library/nginx", "1.27"},
      {"nginx@" + kDigest, "docker.io", "library/nginx", "", true},
      {"nginx:1.27@" + kDigest, "docker.io", "library/nginx", "1.27", true},
      {"bitnami/redis", "docker.io", "bitnami/redis", "latest"},
      {"a/b/c:x", "docker.io", "a/b/c", "x"},
      {"docker.io/nginx", "docker.io", "library/nginx", "latest"},
      {"docker.io/library/nginx", "docker.io", "library/nginx", "latest"},
      {"index.docker.io/library/nginx", "index.docker.io", "library/nginx", "latest"},
      {"ghcr.io/owner/app:v1.2.3", "ghcr.io", "owner/app", "v1.2.3"},
      {"GHCR.IO/owner/app:v1", "ghcr.io", "owner/app", "v1"},
      {"ghcr.io/app@" + kDigest, "ghcr.io", "app", "", true},
      {"localhost/app", "localhost", "app", "latest"},
      {"localhost:5000/app:1", "localhost:5000", "app", "1"},
      {"registry:5000/a/b", "registry:5000", "a/b", "latest"},
      {"127.0.0.1:65535/app", "127.0.0.1:65535", "app", "latest"},
      {"10.0.0.1/app", "10.0.0.1", "app", "latest"},
      {"my-host.example.com/a", "my-host.example.com", "a", "latest"},
      {"registry/app", "docker.io", "registry/app", "latest"},
      {"a.b", "docker.io", "library/a.b", "latest"},
      {"a_b", "docker.io", "library/a_b", "latest"},
      {"a__b", "docker.io", "library/a__b", "latest"},
      {"a-b", "docker.io", "library/a-b", "latest"},
      {"a---b", "docker.io", "library/a---b", "latest"},
      {"1/2", "docker.io", "1/2", "latest"},
      {"nginx:_x", "docker.io", "library/nginx", "_x"},
      {"nginx:A.b-C_9", "docker.io", "library/nginx", "A.b-C_9"},
      {"nginx:" + std::string(128, 't'), "docker.io", "library/nginx", std::string(128, 't')},
  };
  for (const Good& item : cases) {
    const auto image = parse_image_ref(item.text);
    ASSERT_TRUE(image) << item.text << image.error().detail;
    EXPECT_EQ(image->host, item.host) << item.text;
    EXPECT_EQ(image->path, item.path) << item.text;
    EXPECT_EQ(image->tag, item.tag) << item.text;
    EXPECT_EQ(image->digest.has_value(), item.digest) << item.text;
    const bool bare = item.text.find('@') == item.text.npos && item.tag == "latest";
    EXPECT_EQ(image->implicit_latest, bare) << item.text;
  }
}

TEST(ImageRef, S01_OCI_001_refuses_everything_else) {
  const std::vector<std::string> cases = {
      "",
      " ",
      "Nginx",
      "nginx ",
      " nginx",
      "ngi nx",
      "nginx\n",
      "library/Nginx",
      "Owner/app",
      "/nginx",
      "nginx/",
      "a//b",
      "a/./b",
      "a/../b",
      "../a",
      "a..b",
      "a.-b",
      "a___b",
      "_a",
      "a_",
      "-a",
      "a-",
      ".a",
      "http://ghcr.io/a",
      "docker://nginx",
      "https://nginx",
      "nginx:",
      "nginx:-x",
      "nginx:.x",
      "nginx:a b",
      "nginx:a/b",
      "nginx:" + std::string(129, 't'),
      "nginx:1:2",
      "nginx@",
      "nginx@" + kHex,
      "nginx@sha256:",
      "nginx@sha256:" + std::string(63, 'a'),
      "nginx@sha256:" + std::string(65, 'a'),
      "nginx@sha256:" + std::string(64, 'A'),
      "nginx@sha256:" + std::string(64, 'g'),
      "nginx@SHA256:" + kHex,
      "nginx@sha512:" + std::string(128, 'a'),
      "nginx@md5:" + std::string(32, 'a'),
      "nginx@" + kDigest + "@" + kDigest,
      "@" + kDigest,
      ":tag",
      "ghcr.io/",
      "ghcr.io/:tag",
      "ghcr.io:/a",
      "ghcr.io:0/a",
      "ghcr.io:05/a",
      "ghcr.io:65536/a",
      "ghcr.io:x/a",
      "-host.io/a",
      "host-.io/a",
      ".io/a",
      "host..io/a",
      "user:pass@ghcr.io/a",
      "[::1]:5000/a",
      "ghcr.io:5000:6/a",
      "ho_st.io/a",
      "--flag",
      "a$b",
      "${IMAGE}",
      "n\xC3\xA9",
      std::string("a\0b", 3),
      std::string(513, 'a'),
  };
  for (const std::string& text : cases) {
    const auto image = parse_image_ref(text);
    EXPECT_FALSE(image) << text;
    if (!image) {
      EXPECT_EQ(image.error().code, ErrorCode::image_ref_invalid) << text;
    }
  }
}

TEST(ImageRef, PinnedFormLeavesTheTagOut) {
  const auto image = parse_image_ref("nginx:1.27@" + kDigest).value();
  const auto tagged = parse_image_ref("ghcr.io/a/b:1").value();

  EXPECT_EQ(image.pinned(), "docker.io/library/nginx@" + kDigest);
  EXPECT_EQ(tagged.pinned(), std::nullopt);
  EXPECT_EQ(tagged.pinned_to(kDigest), "ghcr.io/a/b@" + kDigest);
}

TEST(ImageRef, DockerHubAnswersElsewhere) {
  EXPECT_EQ(parse_image_ref("nginx")->api_host(), "registry-1.docker.io");
  EXPECT_EQ(parse_image_ref("index.docker.io/a/b")->api_host(), "registry-1.docker.io");
  const auto other = parse_image_ref("ghcr.io/a").value();
  EXPECT_EQ(other.api_host(), "ghcr.io");
}

TEST(ImageRef, WhatIsReadIsReadAgainAsTheSame) {
  for (const std::string& text : {"nginx@" + kDigest, "GHCR.io:443/a/b:1@" + kDigest}) {
    const auto image = parse_image_ref(text).value();
    const auto again = parse_image_ref(*image.pinned()).value();
    EXPECT_EQ(again.pinned(), image.pinned());
  }
}

}  // namespace
}  // namespace ee
