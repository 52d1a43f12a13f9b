#include "cp/integration/registry/registry_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/fake_clock.h"
#include "common/fake_http_client.h"
#include "net/curl_http_client.h"
#include "tests/standins/registry/registry.h"

namespace ee::cp::registry {
namespace {

using standins::DigestHeader;
using standins::Registry;

const AccountId kAccount("01900000-0000-7000-8000-000000000001");

/// The client against a registry at 127.0.0.1, known to it as `registry.test`.
struct RegistryClientTest : ::testing::Test {
  RegistryClientTest() {
    registry.start();
    clock.set_auto_advance(true);
    host = "registry.test:" + std::to_string(registry.port());
    config.allowed_private_hosts = {"registry.test"};
    config.insecure_hosts = {"registry.test"};
  }

  Result<ResolvedImage> resolve(const std::string& reference, const AccountId& account = kAccount) {
    const auto image = parse_image_ref(reference);
    if (!image) throw std::runtime_error("reference " + reference);
    return client.resolve(config, *image, account, {});
  }
  std::string code(const std::string& reference) {
    const auto done = resolve(reference);
    return done ? "ok" : std::string(slug(done.error().code));
  }
  void use_credentials(const AccountId& account = kAccount) {
    config.credentials[host] = {
        .username = "robot", .password = Secret("hunter2"), .for_all = false, .accounts = {account}};
  }

  Registry registry;
  FakeClock clock;
  SystemRandom random;
  std::map<std::string, std::vector<std::string>> names = {{"registry.test", {"127.0.0.1"}}};
  std::function<void()> before_lookup = [] {};
  net::CurlHttpClient http{[this](const std::string& name) {
    before_lookup();
    const auto found = names.find(name);
    return found == names.end() ? std::vector<std::string>{"127.0.0.9"} : found->second;
  }};
  RegistryClient client{http, clock, random};
  RegistryConfig config;
  std::string host;
};

TEST_F(RegistryClientTest, ResolvesATagToTheDigestOfWhatCame) {
  const std::string digest = registry.put_image("app/web", "1.0", "content");
  const auto image = resolve(host + "/app/web:1.0");
  ASSERT_TRUE(image) << image.error().detail;
  EXPECT_EQ(image->manifest_digest, digest);
  EXPECT_EQ(image->pinned, host + "/app/web@" + digest);
  EXPECT_EQ(image->reference, host + "/app/web:1.0");
  EXPECT_EQ(image->index_digest, std::nullopt);
  EXPECT_EQ(image->media_type, "application/vnd.oci.image.manifest.v1+json");
  EXPECT_EQ(image->size, static_cast<std::int64_t>(Registry::manifest_text("content").size()));
  EXPECT_THAT(std::string(registry.requests().at(0).header("accept").value_or("")),
              ::testing::HasSubstr("application/vnd.docker.distribution.manifest.list.v2+json"));
  EXPECT_EQ(resolve(host + "/app/web:1.0@" + digest)->pinned, image->pinned);
  EXPECT_EQ(code(host + "/app/web:2.0"), "image_not_found");
}

TEST_F(RegistryClientTest, S01_OCI_002_GetsATokenWhenAskedForOne) {
  registry.put_index("app/web", "1.0", "content");
  registry.require_token();
  registry.set_realm("http://" + host + "/token?account=x");
  ASSERT_EQ(code(host + "/app/web:1.0"), "ok");
  ASSERT_EQ(registry.count("/token"), 1U);
  const auto requests = registry.requests();
  const auto asked = std::ranges::find(requests, "/token", &net::Request::path);
  EXPECT_EQ(asked->query, "account=x&service=the%20%22registry%22&scope=repository%3Aapp%2Fweb%3Apull");
  EXPECT_FALSE(asked->header("authorization"));

  ASSERT_EQ(code(host + "/app/web:1.0"), "ok");
  EXPECT_EQ(registry.count("/token"), 1U) << "kept";
  clock.advance(Seconds(269));
  ASSERT_EQ(code(host + "/app/web:1.0"), "ok");
  EXPECT_EQ(registry.count("/token"), 1U);
  clock.advance(Seconds(2));
  ASSERT_EQ(code(host + "/app/web:1.0"), "ok");
  EXPECT_EQ(registry.count("/token"), 2U) << "30 s before its end it is not used any more";

  registry.revoke_tokens();
  EXPECT_EQ(code(host + "/app/web:1.0"), "ok") << "a kept token that was taken back costs the one round";
  registry.refuse_tokens(true);
  EXPECT_EQ(code(host + "/app/web:1.0"), "registry_auth_failed") << "no second round";
}

// covers: S01_OCI_002
TEST_F(RegistryClientTest, ReadsTheTokenServicesAnswerWithCare) {
  registry.put_image("app/web", "1.0", "content");
  registry.require_token();
  registry.set_realm("http://" + host + "/token");
  for (const std::string body :
       {"", "{", "[]", "{}", R"({"token":7})", R"({"token":""})", R"({"token":"a b"})", R"({"token":"a\r\nX: y"})"}) {
    registry.set_token_body(body.empty() ? " " : body);
    EXPECT_EQ(code(host + "/app/web:1.0"), "registry_auth_failed") << body;
  }
  registry.set_token_body(R"({"token":")" + std::string(20000, 'a') + "\"}");
  EXPECT_EQ(code(host + "/app/web:1.0"), "registry_auth_failed");
  registry.set_token_body(R"({"access_token":"token-1"})");
  EXPECT_EQ(code(host + "/app/web:1.0"), "ok");
  const std::size_t asked = registry.count("/token");
  clock.advance(Seconds(29));
  EXPECT_EQ(code(host + "/app/web:1.0"), "ok");
  EXPECT_EQ(registry.count("/token"), asked) << "60 s when it does not say how long";
  clock.advance(Seconds(2));
  EXPECT_EQ(code(host + "/app/web:1.0"), "ok");
  EXPECT_EQ(registry.count("/token"), asked + 1);
  registry.set_realm("nonsense");
  clock.advance(Seconds(100));
  EXPECT_EQ(code(host + "/app/web:1.0"), "registry_host_refused");
}

TEST_F(RegistryClientTest, S01_OCI_003_ComputesTheDigestItself) {
  const std::string digest = registry.put_image("app/web", "1.0", "content");
  registry.set_digest_header(DigestHeader::none);
  EXPECT_EQ(resolve(host + "/app/web:1.0")->manifest_digest, digest);
  registry.set_digest_header(DigestHeader::wrong);
  EXPECT_EQ(code(host + "/app/web:1.0"), "digest_mismatch");
  registry.set_digest_header(DigestHeader::none);
  // Asked by digest, given something else; and asked for the child of an index, likewise.
  registry.put("app/web", digest, "application/vnd.oci.image.manifest.v1+json", Registry::manifest_text("evil"));
  EXPECT_EQ(code(host + "/app/web@" + digest), "digest_mismatch");
  registry.put_index("app/two", "1.0", "inner");
  const std::string inner = Registry::digest_of(Registry::manifest_text("inner"));
  registry.put("app/two", inner, "application/vnd.oci.image.manifest.v1+json", Registry::manifest_text("evil"));
  EXPECT_EQ(code(host + "/app/two:1.0"), "digest_mismatch");
}

TEST_F(RegistryClientTest, S01_OCI_004_ChoosesOurPlatformFromAnIndex) {
  const std::string index = registry.put_index("app/web", "1.0", "content");
  const auto image = resolve(host + "/app/web:1.0");
  ASSERT_TRUE(image) << image.error().detail;
  EXPECT_EQ(image->index_digest, index);
  EXPECT_EQ(image->manifest_digest, Registry::digest_of(Registry::manifest_text("content")));
  EXPECT_EQ(image->pinned, host + "/app/web@" + image->manifest_digest);

  constexpr const char* kIndex = "application/vnd.oci.image.index.v1+json";
  constexpr const char* kManifest = "application/vnd.oci.image.manifest.v1+json";
  const auto index_of = [&](const std::string& entries) {
    return R"({"schemaVersion":2,"mediaType":")" + std::string(kIndex) + R"(","manifests":[)" + entries + "]}";
  };
  const auto entry = [&](const std::string& platform, const std::string& more = "", const char* type = kManifest) {
    return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + image->manifest_digest + R"(","platform":)" +
           platform + more + "}";
  };
  const std::string ours = R"({"os":"linux","architecture":"amd64"})";
  const auto with = [&](const std::string& entries, const char* type = kIndex) {
    registry.put("app/web", "x", type, index_of(entries));
    return code(host + "/app/web:x");
  };
  EXPECT_EQ(with(entry(ours)), "ok");
  EXPECT_EQ(with(entry(R"({"os":"linux","architecture":"amd64","variant":""})")), "ok");
  EXPECT_EQ(with(entry(R"({"os":"linux","architecture":"amd64","variant":"v3"})")), "platform_not_found");
  EXPECT_EQ(with(entry(R"({"os":"linux","architecture":"arm64"})")), "platform_not_found");
  EXPECT_EQ(with(entry(R"({"os":"windows","architecture":"amd64"})")), "platform_not_found");
  EXPECT_EQ(with(entry(ours, R"(,"artifactType":"application/x")")), "platform_not_found");
  EXPECT_EQ(with(entry(ours, R"(,"annotations":{"vnd.docker.reference.type":"attestation-manifest"})")),
            "platform_not_found");
  EXPECT_EQ(with(""), "platform_not_found");
  EXPECT_EQ(with(entry(ours, "", kIndex)), "manifest_unsupported") << "an index inside an index";
  EXPECT_EQ(with(entry(ours, "", "application/x")), "manifest_unsupported");
  EXPECT_EQ(with("7"), "manifest_unsupported");
  EXPECT_EQ(with(entry(ours), kManifest), "manifest_unsupported") << "content type and body disagree";
  // What the index calls an image is an index itself.
  registry.put("app/web", image->manifest_digest, kIndex, index_of(entry(ours)));
  EXPECT_EQ(with(entry(ours)), "digest_mismatch");
}

// covers: S01_OCI_004
TEST_F(RegistryClientTest, RefusesManifestsOfOtherKinds) {
  const auto with = [&](const char* type, const std::string& body) {
    registry.put("app/web", "x", type, body);
    return code(host + "/app/web:x");
  };
  EXPECT_EQ(with("application/vnd.docker.distribution.manifest.v1+prettyjws", R"({"schemaVersion":1})"),
            "manifest_unsupported");
  EXPECT_EQ(with("application/json", R"({"schemaVersion":2,"config":{}})"), "manifest_unsupported");
  EXPECT_EQ(with("application/json", Registry::manifest_text("a")), "ok");
  EXPECT_EQ(with("application/vnd.oci.image.manifest.v1+json; charset=utf-8", Registry::manifest_text("a")), "ok");
  EXPECT_EQ(with("application/vnd.oci.image.manifest.v1+json", "not json"), "manifest_unsupported");
  EXPECT_EQ(with("application/vnd.oci.image.manifest.v1+json", R"({"schemaVersion":2})"), "manifest_unsupported");
  EXPECT_EQ(with("application/vnd.oci.image.manifest.v1+json", R"({"schemaVersion":2,"config":{},"manifests":[]})"),
            "manifest_unsupported");
  EXPECT_EQ(with("application/vnd.oci.image.index.v1+json", R"({"schemaVersion":2,"config":{},"manifests":[]})"),
            "manifest_unsupported");
}

TEST_F(RegistryClientTest, S01_OCI_005_ConnectsOnlyWhereItMay) {
  registry.put_image("app/web", "1.0", "content");
  const std::string reference = host + "/app/web:1.0";
  config.allowed_private_hosts = {};
  EXPECT_EQ(code(reference), "registry_host_refused") << "127.0.0.1";
  names["registry.test"] = {"169.254.169.254"};
  EXPECT_EQ(code(reference), "registry_host_refused") << "metadata";
  for (const char* address : {"10.0.0.1", "100.64.0.1", "192.168.1.1", "172.16.0.1", "::1", "fd00::1", "224.0.0.1"}) {
    names["registry.test"] = {address};
    EXPECT_EQ(code(reference), "registry_host_refused") << address;
  }
  // The name changes its address between any two look-ups: the one that is connected to counts.
  int lookups = 0;
  before_lookup = [&] { names["registry.test"] = {++lookups % 2 == 1 ? "203.0.113.1" : "127.0.0.1"}; };
  EXPECT_EQ(code(reference), "registry_host_refused");
  EXPECT_EQ(code(reference), "registry_host_refused");
  before_lookup = [] {};
  names["registry.test"] = {"127.0.0.1"};
  EXPECT_EQ(registry.requests().size(), 0U);

  config.allowed_private_hosts = {host};
  EXPECT_EQ(code(reference), "ok") << "allowed with its port";
  config.insecure_hosts = {};
  EXPECT_EQ(code(reference), "registry_unavailable") << "https, which the stand-in does not speak";
  config.insecure_hosts = {host};
  config.allowed_hosts = {"other.example"};
  EXPECT_EQ(code(reference), "registry_host_refused");
  config.allowed_hosts = {"registry.test"};
  EXPECT_EQ(code(reference), "ok");
}

// covers: S01_OCI_005
TEST_F(RegistryClientTest, RealmsAndRedirectsArePartOfTheGuard) {
  registry.put_image("app/web", "1.0", "content");
  const std::string reference = host + "/app/web:1.0";
  const std::string port = std::to_string(registry.port());
  for (const std::string& target : std::vector<std::string>{
           "http://other.test:" + port + "/v2/app/web/manifests/1.0", "http://169.254.169.254/latest/meta-data",
           "https://10.0.0.1/", "https://[::1]:" + port + "/", "https://localhost/", "file:///etc/passwd", "",
           "//registry.test/", "https://user@registry.test/"}) {
    registry.fail("app/web", {.status = 307, .location = target});
    EXPECT_EQ(code(reference), "registry_host_refused") << target;
  }
  registry.fail("app/web", {.status = 307, .location = "/v2/app/web/manifests/1.0"}, 3);
  EXPECT_EQ(code(reference), "ok") << "three at the same host";
  registry.fail("app/web", {.status = 302, .location = "http://" + host + "/v2/app/web/manifests/1.0"}, 4);
  EXPECT_EQ(code(reference), "registry_host_refused") << "and no fourth";

  registry.require_token();
  for (const std::string& realm :
       std::vector<std::string>{"http://169.254.169.254/token", "https://127.0.0.1:" + port + "/token",
                                "http://other.test:" + port + "/token", "https://internal.test/token"}) {
    registry.set_realm(realm);
    EXPECT_EQ(code(reference), "registry_host_refused") << realm;
  }
  EXPECT_EQ(registry.count("/token"), 0U);
}

TEST_F(RegistryClientTest, S01_OCI_006_TriesThreeTimes) {
  registry.put_image("app/web", "1.0", "content");
  const std::string reference = host + "/app/web:1.0";
  for (const int status : {429, 500, 502, 503}) {
    registry.fail("app/web", {.status = status}, 2);
    EXPECT_EQ(code(reference), "ok") << status;
    registry.fail("app/web", {.status = status}, 3);
    EXPECT_EQ(code(reference), "registry_unavailable") << status;
  }
  const std::size_t before = registry.requests().size();
  registry.fail("app/web", {.status = 400}, 1);
  EXPECT_EQ(code(reference), "registry_unavailable");
  EXPECT_EQ(registry.requests().size(), before + 1) << "what will not change is not asked again";
  registry.fail("app/web", {.truncated = true}, 1);
  EXPECT_EQ(code(reference), "digest_mismatch");
  registry.fail("app/web", {.drop = true}, 2);
  EXPECT_EQ(code(reference), "ok");
  registry.fail("app/web", {.drop = true}, 20);  // curl tries a second time itself on a connection that it kept
  EXPECT_EQ(code(reference), "registry_unavailable");
}

// covers: S01_OCI_006
TEST_F(RegistryClientTest, GivesUpAfterItsTimeAndWhenStopped) {
  FakeHttpClient slow([this](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
    clock.advance(Seconds(15));
    return std::unexpected(HttpFailure::timeout);
  });
  RegistryClient patient(slow, clock, random);
  const SteadyTime begun = clock.steady_now();
  const auto image = parse_image_ref("registry.example/app:1");
  EXPECT_EQ(patient.resolve({}, *image, kAccount, {}).error().code, ErrorCode::registry_unavailable);
  EXPECT_LE(clock.steady_now() - begun, Seconds(31));
  EXPECT_EQ(slow.calls().front().url, "https://registry.example/v2/app/manifests/1");
  EXPECT_EQ(slow.calls().front().addresses, AddressPolicy::public_only);
  EXPECT_EQ(slow.calls().front().connect_timeout, Seconds(5));

  FakeHttpClient cancelled([](const HttpClientRequest&) -> std::expected<HttpClientResponse, HttpFailure> {
    return std::unexpected(HttpFailure::cancelled);
  });
  RegistryClient stopped(cancelled, clock, random);
  EXPECT_EQ(stopped.resolve({}, *image, kAccount, {}).error().code, ErrorCode::registry_unavailable);
  EXPECT_EQ(cancelled.calls().size(), 1U);
}

// A registry over https that sends its clients elsewhere. covers: S01_OCI_007
TEST_F(RegistryClientTest, S01_OCI_007_KeepsCredentialsAtTheirHost) {
  std::vector<std::string> seen;
  FakeHttpClient world([&](const HttpClientRequest& request) -> std::expected<HttpClientResponse, HttpFailure> {
    std::string authorization = "-";
    for (const HttpHeader& header : request.headers)
      if (header.name == "Authorization") authorization = header.value;
    seen.push_back(request.url.substr(0, request.url.find('?')) + " " + authorization);
    if (request.url == "https://registry.example/v2/app/manifests/1") {
      if (authorization == "-")
        return HttpClientResponse{
            .status = 401, .headers = {{"www-authenticate", R"(Bearer realm="https://auth.example/t",service="s")"}}};
      return HttpClientResponse{.status = 307, .headers = {{"Location", "https://cdn.example/blob"}}};
    }
    if (request.url.starts_with("https://auth.example/t?"))
      return HttpClientResponse{.status = 200, .body = R"({"token":"abc"})"};
    return HttpClientResponse{.status = 200,
                              .headers = {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}},
                              .body = Registry::manifest_text("a")};
  });
  RegistryClient away(world, clock, random);
  RegistryConfig with{
      .credentials = {{"registry.example", {.username = "u", .password = Secret("p"), .accounts = {kAccount}}}}};
  const auto image = parse_image_ref("registry.example/app:1");
  ASSERT_TRUE(away.resolve(with, *image, kAccount, {}));
  EXPECT_EQ(seen, (std::vector<std::string>{
                      "https://registry.example/v2/app/manifests/1 -", "https://auth.example/t Basic dTpw",
                      "https://registry.example/v2/app/manifests/1 Bearer abc", "https://cdn.example/blob -"}));
  seen.clear();
  // Another account's image at the same host is read as anybody's.
  ASSERT_TRUE(away.resolve(with, *image, AccountId("01900000-0000-7000-8000-000000000002"), {}));
  EXPECT_EQ(seen.at(1), "https://auth.example/t -");
}

// covers: S01_OCI_007
TEST_F(RegistryClientTest, PasswordsAreNotSentWithoutTls) {
  registry.put_image("app/web", "1.0", "content");
  use_credentials();
  registry.require_basic("robot", "hunter2");
  EXPECT_EQ(code(host + "/app/web:1.0"), "registry_auth_failed");
  for (const auto& request : registry.requests()) EXPECT_FALSE(request.header("authorization"));
}

TEST_F(RegistryClientTest, S01_OCI_008_BoundsWhatItReads) {
  std::string padded = Registry::manifest_text("a");
  padded.insert(padded.size() - 1, R"(,"padding":")" + std::string(4UL * 1024 * 1024, ' ') + "\"");
  registry.put("app/web", "big", "application/vnd.oci.image.manifest.v1+json", padded);
  EXPECT_EQ(code(host + "/app/web:big"), "manifest_unsupported");
  EXPECT_EQ(registry.requests().size(), 1U) << "not asked again";
  padded = Registry::manifest_text("a");
  padded.insert(padded.size() - 1, R"(,"padding":")" + std::string(4UL * 1024 * 1024 - padded.size() - 13, ' ') + "\"");
  ASSERT_EQ(padded.size(), 4UL * 1024 * 1024);
  registry.put("app/web", "fits", "application/vnd.oci.image.manifest.v1+json", padded);
  EXPECT_EQ(code(host + "/app/web:fits"), "ok");
}

TEST(RegistryCredentials, AreReadStrictly) {
  const auto read = parse_credentials(Secret(
      R"({"a.example":{"username":"u","password":"p","accounts":"*"},"b.example":{"username":"v","password":"q","accounts":["01900000-0000-7000-8000-000000000001"]},"c.example":{"username":"w","password":"r"}})"));
  ASSERT_TRUE(read);
  const RegistryConfig config{.credentials = *read};
  const AccountId other("01900000-0000-7000-8000-000000000002");
  EXPECT_EQ(config.credential_for("a.example", other)->username, "u");
  EXPECT_EQ(config.credential_for("b.example", kAccount)->password.reveal(), "q");
  EXPECT_EQ(config.credential_for("b.example", other), nullptr);
  EXPECT_EQ(config.credential_for("c.example", kAccount), nullptr) << "nobody's";
  EXPECT_EQ(config.credential_for("d.example", kAccount), nullptr);
  EXPECT_TRUE(parse_credentials(Secret(""))->empty());
  for (const char* text :
       {"[]", "{", R"({"a":7})", R"({"a":{"username":"u"}})", R"({"a":{"username":"u:x","password":"p"}})",
        R"({"a":{"username":"u","password":"p","accounts":"some"}})",
        R"({"a":{"username":"u","password":"p","accounts":["x"]}})"})
    EXPECT_FALSE(parse_credentials(Secret(text))) << text;
}

}  // namespace
}  // namespace ee::cp::registry
