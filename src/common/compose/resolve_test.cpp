#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "common/bytes.h"
#include "common/compose/compose.h"
#include "common/compose/measure_form.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/json_jcs.h"
#include "tests/support/compose_cases.h"

namespace ee::compose {
namespace {

namespace bj = boost::json;
using testing::breaches_of;
using testing::Case;
using testing::kDigest;
using testing::kImage;
using testing::options;
using testing::service_file;

const std::string kPinned = "docker.io/library/nginx@" + kDigest;

Resolved resolved(std::string_view file) {
  const auto checked = check(file, options());
  EXPECT_TRUE(checked) << file;
  auto out = resolve(*checked, own_digests(*checked).value());
  EXPECT_TRUE(out) << out.error().detail;
  return std::move(*out);
}

TEST(ComposeResolve, WritesTheCanonicalDocumentWithItsForcedValues) {
  const Resolved out = resolved("name: app\nx-a: 1\nservices: {web: {restart: always, image: '" + kImage +
                                "', ports: ['8080:80', {target: 81, published: 8081}], cap_drop: [CHOWN], deploy: "
                                "{replicas: 1}, environment: {B: 1.50, A: }}}");

  EXPECT_EQ(
      out.compose,
      R"({"services":{"web":{"cap_drop":["CHOWN","NET_RAW"],"deploy":{},"environment":{"A":null,"B":1.5},"image":")" +
          kPinned +
          R"(","logging":{"driver":"local","options":{"max-file":"3","max-size":"10m"}},)"
          R"("ports":["127.0.0.1:8080:80",{"host_ip":"127.0.0.1","published":8081,"target":81}],)"
          R"("security_opt":["no-new-privileges:true"]}}})");
  EXPECT_EQ(out.compose_sha256, to_hex(sha256(bytes_of(out.compose))));
  EXPECT_EQ(out.images, (std::map<std::string, std::string>{{"web", kPinned}}));
}

TEST(ComposeResolve, DoesNotNameAForcedValueTwice) {
  const Resolved out = resolved(service_file("cap_drop: [NET_RAW], ports: ['127.0.0.1:8080:80']"));

  EXPECT_NE(out.compose.find(R"("cap_drop":["NET_RAW"])"), std::string::npos) << out.compose;
  EXPECT_NE(out.compose.find(R"("ports":["127.0.0.1:8080:80"])"), std::string::npos) << out.compose;
}

TEST(ComposeResolve, PinnedReferencesMustFitTheFile) {
  CheckOptions lax = options();
  lax.require_digests = false;
  const auto checked = check("services: {web: {image: nginx}}", lax);
  ASSERT_TRUE(checked);
  const auto with = [&](const std::map<std::string, std::string>& pinned) {
    const auto out = resolve(*checked, pinned);
    return out ? std::optional<ErrorCode>() : out.error().code;
  };

  EXPECT_EQ(with({{"web", kPinned}}), std::nullopt);
  EXPECT_EQ(with({}), ErrorCode::image_ref_invalid);
  EXPECT_EQ(with({{"web", "nginx@" + kDigest}}), ErrorCode::image_ref_invalid);
  EXPECT_EQ(with({{"web", "docker.io/library/nginx:1"}}), ErrorCode::image_ref_invalid);
  EXPECT_EQ(with({{"web", "docker.io/library/other@" + kDigest}}), ErrorCode::digest_mismatch);
}

TEST(ComposeResolve, RefusesADocumentThatGrowsTooLong) {
  // 256 KiB of text at most, but each of these characters takes six bytes of JSON.
  std::string file = "x-a: &a \"";
  for (int i = 0; i < 600; ++i) file += "\\x01";
  file += "\"\nservices: {web: {image: '" + kImage + "', command: [";
  for (int i = 0; i < 99; ++i) file += "*a ,";
  const auto checked = check(file + "x]}}\n", options());
  ASSERT_TRUE(checked);

  const auto refused = resolve(*checked, own_digests(*checked).value());

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::compose_invalid);
}

TEST(ComposeResolve, AnAgentRefusesADocumentWithoutAForcedValue) {
  const std::string good = resolved(service_file("ports: ['8080:80']")).compose;
  ASSERT_TRUE(check_resolved(good, options()));
  const auto without = [&](std::string_view part, std::string_view instead) {
    std::string text = good;
    const auto at = text.find(part);
    EXPECT_NE(at, text.npos) << part;
    text.replace(at, part.size(), instead);
    const auto refused = check_resolved(text, options());
    EXPECT_FALSE(refused) << text;
    return refused ? std::vector<std::string>() : breaches_of(refused.error());
  };
  const auto one = [](std::string_view breach) {
    return std::vector<std::string>{"services.web." + std::string(breach)};
  };

  EXPECT_EQ(without(R"("cap_drop":["NET_RAW"],)", ""), one("cap_drop not_resolved"));
  EXPECT_EQ(without(R"("cap_drop":["NET_RAW"])", R"("cap_drop":["CHOWN"])"), one("cap_drop not_resolved"));
  EXPECT_EQ(without(R"(,"security_opt":["no-new-privileges:true"])", ""), one("security_opt not_resolved"));
  EXPECT_EQ(without("no-new-privileges:true", "no-new-privileges:false"), one("security_opt not_resolved"));
  EXPECT_EQ(without(R"(["no-new-privileges:true"])", R"(["no-new-privileges:true","seccomp=unconfined"])"),
            one("security_opt not_resolved"));
  EXPECT_EQ(without(R"("driver":"local","options":{"max-file")", R"("driver":"syslog","options":{"max-file")"),
            one("logging not_resolved"));
  EXPECT_EQ(without("127.0.0.1:8080:80", "8080:80"), one("ports[0] port"));
  EXPECT_EQ(without("127.0.0.1:8080:80", "0.0.0.0:8080:80"), one("ports[0] port"));
  EXPECT_EQ(without(kPinned, kImage), one("image image_unpinned"));
  EXPECT_EQ(without(kPinned, "docker.io/library/nginx:1"), one("image image_unpinned"));
  EXPECT_EQ(without(R"("ports":)", R"("pid":"host","ports":)"), one("pid host_namespace"));
  EXPECT_EQ(without(R"(,"security_opt")", R"(,"restart":"always","security_opt")"), one("restart key_not_allowed"));
  EXPECT_EQ(without(R"("image":)", R"("deploy":{"replicas":1},"image":)"), one("deploy.replicas resources"));
  EXPECT_EQ(without(R"({"networks")", R"({"name":"x","networks")"), std::vector<std::string>{"name key_not_allowed"});
}

TEST(ComposeResolve, AnAgentRefusesTextThatIsNotCanonicalJson) {
  const std::string good = resolved(service_file("")).compose;
  for (const std::string& text :
       {" " + good, good + "\n", std::string("[]"), std::string("services: {}"), std::string(),
        good.substr(0, good.size() - 1), std::string(kMaxResolvedBytes + 1, ' ')}) {
    const auto refused = check_resolved(text, options());
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::compose_invalid);
  }
}

// ---- both entry points ---------------------------------------------------------------------------------------------

bool is_policy(const bj::value& value) {
  for (const char* policy : {"always", "no", "unless-stopped", "on-failure", "on-failure:5"})
    if (value == policy) return true;
  return false;
}

void add_address(bj::value& port) {
  if (auto* keys = port.if_object()) {
    if (!keys->contains("host_ip")) (*keys)["host_ip"] = "127.0.0.1";
  } else if (auto* text = port.if_string(); text != nullptr && std::ranges::count(*text, ':') == 1) {
    text->insert(0, "127.0.0.1:");
  }
}

/// What a control plane that never checks would make of a file: every forced value is added where there is none.
std::string resolved_unchecked(bj::value tree) {
  bj::object& top = tree.get_object();
  std::vector<std::string> dropped;
  for (const auto& member : top)
    if (member.key() == "name" || member.key() == "version" || member.key().starts_with("x-"))
      dropped.emplace_back(member.key());
  for (const std::string& key : dropped) top.erase(key);
  auto* services = top.if_contains("services");
  if (services == nullptr || !services->is_object()) return canonical_compose(tree);
  for (auto& member : services->get_object()) {
    auto* service = member.value().if_object();
    if (service == nullptr) continue;
    if (auto* image = service->if_contains("image"); image != nullptr && image->is_string())
      if (const auto read = parse_image_ref({image->get_string().data(), image->get_string().size()});
          read && read->digest)
        *image = bj::string(*read->pinned());
    if (!service->contains("security_opt")) (*service)["security_opt"] = bj::array{"no-new-privileges:true"};
    if (!service->contains("logging"))
      (*service)["logging"] = {{"driver", "local"}, {"options", {{"max-file", "3"}, {"max-size", "10m"}}}};
    bj::value& drop = (*service)["cap_drop"];
    if (drop.is_null()) drop = bj::array();
    if (drop.is_array()) drop.get_array().push_back("NET_RAW");
    if (auto* ports = service->if_contains("ports"); ports != nullptr && ports->is_array())
      for (bj::value& port : ports->get_array()) add_address(port);
    if (auto* deploy = service->if_contains("deploy"); deploy != nullptr && deploy->is_object())
      if (const auto* replicas = deploy->get_object().if_contains("replicas"); replicas != nullptr && *replicas == 1)
        deploy->get_object().erase("replicas");
    if (const auto* restart = service->if_contains("restart");
        restart != nullptr && (restart->is_null() || is_policy(*restart)))
      service->erase("restart");
  }
  return canonical_compose(tree);
}

TEST(ComposeResolve, S03_CMP_043_control_plane_and_agent_judge_alike) {
  const auto cases = testing::all_cases();
  ASSERT_GE(cases.size(), 200u);
  int accepted = 0;
  for (const Case& item : cases) {
    const auto here = check(item.text, options());
    const auto tree = read_compose(item.text);
    ASSERT_TRUE(tree) << item.text;
    const auto there = check_resolved(resolved_unchecked(*tree), options());
    ASSERT_EQ(here.has_value(), there.has_value())
        << item.text << (there ? "" : ::testing::PrintToString(breaches_of(there.error())));
    accepted += here.has_value() ? 1 : 0;
    if (!here) {
      EXPECT_EQ(here.error().code, there.error().code) << item.text;
      continue;
    }
    const auto again = check_resolved(resolve(*here, own_digests(*here).value()).value().compose, options());
    EXPECT_TRUE(again) << item.text << (again ? "" : ::testing::PrintToString(breaches_of(again.error())));
  }
  EXPECT_GE(accepted, 100);
  for (const std::string_view text : {"", "a: [", "services: !x {}", "a: 1\na: 1", "[]", "\"x\"", "\xFF"}) {
    EXPECT_EQ(check(text, options()).error().code, ErrorCode::compose_invalid) << text;
    EXPECT_EQ(check_resolved(text, options()).error().code, ErrorCode::compose_invalid) << text;
  }
}

// ---- measurement ---------------------------------------------------------------------------------------------------

TEST(ComposeMeasure, S01_CMP_001_vectors) {
  const auto file = read_compose("{\"services\":{\"web\":{\"image\":\"nginx:1.27\"}}}").value();
  const std::string pinned = "docker.io/library/nginx@sha256:" + std::string(64, '1');

  EXPECT_EQ(compose_hash(file), "d30724cd6ded9653dd86b66205bd2df70221272f5512efc56f7ed7d86e6f0c43");
  EXPECT_EQ(compose_hash(with_images(file, {{"web", pinned}})),
            "8ff273fec009e5a6be4c14a84949de0b5b07acda1395bdd5ac01d74d60934064");
}

TEST(ComposeMeasure, S01_CMP_002_key_order_and_comments_do_not_count_but_list_order_does) {
  const auto hash = [](std::string_view text) { return compose_hash(read_compose(text).value()); };
  const std::string plain = hash("services: {web: {image: a, command: [x, y]}}");

  EXPECT_EQ(hash("# why\nservices:\n  web:\n    command:\n    - x  # first\n    - 'y'\n    image: \"a\"\n"), plain);
  EXPECT_NE(hash("services: {web: {image: a, command: [y, x]}}"), plain);
  EXPECT_NE(hash("services: {web: {image: a, command: [x, y], init: null}}"), plain);
  EXPECT_NE(hash("services: {web: {image: a, command: [x, y]}}\nname: b"), plain);
}

TEST(ComposeMeasure, S01_CMP_006_deterministic) {
  const std::string text = service_file("environment: {B: 1.5, A: 2}, labels: [z=1, y=2]");
  const std::string first = compose_hash(read_compose(text).value());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(compose_hash(read_compose(text).value()), first);
}

TEST(ComposeMeasure, S01_CMP_004_unsupported_keys_by_json_pointer) {
  const auto file = read_compose(
      "include: [other.yml]\nsecrets: {s: {file: ./s}}\nconfigs: {c: {file: ./c}}\n"
      "services: {a: {build: ., extends: {service: b}, env_file: .env}, 'b/~': {image: '${X}'}, c: {image: x}, d: 5}");
  ASSERT_TRUE(file);

  const auto refused = images_to_measure(*file);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::compose_forbidden);
  EXPECT_EQ(breaches_of(refused.error()),
            (std::vector<std::string>{"/configs/c/file key_not_allowed", "/include key_not_allowed",
                                      "/secrets/s/file key_not_allowed", "/services/a/build key_not_allowed",
                                      "/services/a/env_file key_not_allowed", "/services/a/extends key_not_allowed",
                                      "/services/a/image image_missing", "/services/b~1~0/image interpolation",
                                      "/services/d/image image_missing"}));
}

TEST(ComposeMeasure, ListsImagesInTheOrderOfTheFile) {
  const auto images = images_to_measure(read_compose("services: {b: {image: x}, a: {image: y}}").value());

  ASSERT_TRUE(images);
  EXPECT_EQ(images->at(0).service, "b");
  EXPECT_EQ(images->at(1).image, "y");
  for (const std::string_view text : {"a: b", "services: {}", "services: [a]"})
    EXPECT_EQ(images_to_measure(read_compose(text).value()).error().code, ErrorCode::compose_invalid) << text;
  EXPECT_EQ(with_images(bj::value("x"), {{"a", "b"}}), bj::value("x"));
}

}  // namespace
}  // namespace ee::compose
