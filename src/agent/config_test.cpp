#include "agent/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

constexpr std::string_view kKeyA = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";  // RFC 8032 test 1
constexpr std::string_view kKeyB = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";  // RFC 8032 test 2

/// What every agent needs, as a file of the image.
std::string image_file(std::string_view more = "") {
  return R"({"control_plane_url":"https://cp.example.com","node_size":"tiny","datacenter":"gcp:us-central1-a")" +
         std::string(more) + "}";
}
ConfigInputs inputs_with(std::vector<SourceDocument> documents,
                         std::vector<std::pair<std::string, std::string>> environment = {}) {
  return {.flags = {}, .environment = std::move(environment), .documents = std::move(documents), .gce_zone = {}};
}
SourceDocument file(std::string text) {
  return {.source = Source::file, .name = "agent.json", .text = std::move(text)};
}
SourceDocument disk(std::string text) {
  return {.source = Source::config_disk, .name = "config disk", .text = std::move(text)};
}
SourceDocument metadata(std::string text) {
  return {.source = Source::metadata, .name = "metadata", .text = std::move(text)};
}
AgentConfig loaded(const ConfigInputs& inputs) {
  auto result = load_config(inputs);
  EXPECT_TRUE(result) << (result ? "" : result.error().problems.at(0));
  return result ? result->config : AgentConfig{};
}
/// All problems in one text.
std::string problems(const ConfigInputs& inputs) {
  const auto result = load_config(inputs);
  if (result) return "accepted";
  std::string out;
  for (const std::string& problem : result.error().problems) out += problem + "\n";
  return out;
}
bool warns(const LoadedConfig& config, std::string_view text) {
  return std::ranges::any_of(config.warnings, [&](const std::string& w) { return w.find(text) != w.npos; });
}

// covers: S02_EEA_CFG_001
TEST(AgentConfig, S02_EEA_CFG_001_takes_each_key_from_the_highest_source_that_has_it) {
  ConfigInputs inputs = inputs_with(
      {disk(image_file(R"(,"vm_name":"from-disk","log_level":"error","orphan_grace_seconds":4,"data_dir":"/disk")")),
       file(R"({"vm_name":"from-file","log_level":"warn","orphan_grace_seconds":3,"mode":"agent"})")},
      {{"EE_AGENT_VM_NAME", "from-env"}, {"EE_AGENT_LOG_LEVEL", "debug"}, {"HOME", "/root"}});
  inputs.flags = {{"vm_name", "from-flag"}};

  const auto result = load_config(inputs);

  ASSERT_TRUE(result) << result.error().problems.at(0);
  EXPECT_EQ(result->config.vm_name, "from-flag");
  EXPECT_EQ(result->config.log_level, "debug");
  EXPECT_EQ(result->config.orphan_grace, Seconds(3));
  EXPECT_EQ(result->config.data_dir, "/disk");
  EXPECT_EQ(result->config.run_dir, "/run/ee-agent");
  const auto source_of = [&](std::string_view key) {
    return std::ranges::find(result->values, key, &EffectiveValue::key)->source;
  };
  EXPECT_EQ(source_of("vm_name"), Source::flags);
  EXPECT_EQ(source_of("log_level"), Source::environment);
  EXPECT_EQ(source_of("orphan_grace_seconds"), Source::file);
  EXPECT_EQ(source_of("data_dir"), Source::config_disk);
  EXPECT_EQ(source_of("run_dir"), Source::defaults);
}

// covers: S02_EEA_CFG_002
TEST(AgentConfig, S02_EEA_CFG_002_refuses_a_malformed_source_whole) {
  for (const char* bad : {"", "{", "[]", "null", R"({"node_size":"tiny","node_size":"tiny"})",
                          R"({"node_size":"tiny"} x)", R"({"orphan_grace_seconds":1e999})", R"({"node_size":5})"}) {
    const auto result = load_config(inputs_with({file(image_file()), disk(bad)}));
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().exit_code, ExitCode::bad_configuration) << bad;
    EXPECT_NE(result.error().problems.at(0).find("config disk"), std::string::npos) << bad;
  }
}

TEST(AgentConfig, ChecksValuesThatAHigherSourceHides) {
  EXPECT_NE(problems(inputs_with({file(image_file(R"(,"vm_name":"Not A Label")"))}, {{"EE_AGENT_VM_NAME", "good"}}))
                .find("vm_name must be a DNS label"),
            std::string::npos);
}

TEST(AgentConfig, BoundsADocumentOfTheHost) {
  const std::string padding(64UL * 1024, ' ');
  EXPECT_EQ(problems(inputs_with({file(image_file() + padding)})), "accepted");
  EXPECT_NE(problems(inputs_with({file(image_file()), disk("{}" + padding)})), "accepted");
}

// covers: S02_EEA_CFG_003
TEST(AgentConfig, S02_EEA_CFG_003_host_may_not_weaken_what_the_image_says) {
  struct Row {
    const char* host;
    const char* problem;
  };
  for (const Row& row : {Row{R"({"env":"dev"})", "env may be weakened"},
                         Row{R"({"cp_attestation_mode":"optional"})", "cp_attestation_mode may be weakened"},
                         Row{R"({"cp_attestation_mode":"disabled"})", "cp_attestation_mode may be weakened"}}) {
    EXPECT_NE(problems(inputs_with({file(image_file()), disk(row.host)})).find(row.problem), std::string::npos)
        << row.host;
    EXPECT_NE(problems(inputs_with({file(image_file()), metadata(row.host)})).find(row.problem), std::string::npos)
        << row.host;
  }
  EXPECT_EQ(loaded(inputs_with({file(image_file(R"(,"env":"dev")")), disk(R"({"cp_attestation_mode":"required"})")}))
                .cp_attestation_mode,
            CpAttestationMode::required);
  EXPECT_EQ(loaded(inputs_with({file(image_file()), disk(R"({"env":"staging"})")})).env, Environment::staging);
}

TEST(AgentConfig, IgnoresProgramsAndTrustThatOnlyTheImageMayName) {
  const auto result = load_config(inputs_with(
      {file(image_file()), disk(R"({"cloudflared_path":"/data/evil","tsm_root":"/data/x","trusted_cp_mrtds":[")" +
                                std::string(96, 'a') + R"("]})")}));

  ASSERT_TRUE(result);
  EXPECT_EQ(result->config.cloudflared_path, "cloudflared");
  EXPECT_EQ(result->config.tsm_root, "/sys/kernel/config/tsm/report");
  EXPECT_TRUE(result->config.trusted_cp_mrtds.empty());
  EXPECT_TRUE(warns(*result, "trusted_cp_mrtds is ignored"));
}

// covers: S02_EEA_REG_007, S02_EEA_REG_008
TEST(AgentConfig, S02_EEA_REG_007_uses_a_pin_of_the_host_only_when_the_image_has_none) {
  const std::string host = R"({"cp_signing_keys":[")" + std::string(kKeyA) + R"("]})";
  EXPECT_EQ(loaded(inputs_with({file(image_file()), disk(host)})).cp_signing_keys.size(), 1U);
  EXPECT_EQ(loaded(inputs_with({file(image_file()), metadata(host)})).cp_signing_keys.size(), 1U);

  const auto beside_key =
      loaded(inputs_with({file(image_file(R"(,"cp_signing_keys":[")" + std::string(kKeyB) + R"("])")), disk(host)}));
  ASSERT_EQ(beside_key.cp_signing_keys.size(), 1U);
  EXPECT_EQ(to_base64(beside_key.cp_signing_keys[0]), kKeyB);

  const auto beside_mrtd = load_config(
      inputs_with({file(image_file(R"(,"trusted_cp_mrtds":[")" + std::string(96, '0') + R"("])")), disk(host)}));
  ASSERT_TRUE(beside_mrtd);
  EXPECT_TRUE(beside_mrtd->config.cp_signing_keys.empty());
  EXPECT_TRUE(warns(*beside_mrtd, "cp_signing_keys"));
}

// covers: S02_EEA_CFG_005
TEST(AgentConfig, S02_EEA_CFG_005_refuses_disk_and_metadata_together) {
  const auto result = load_config(inputs_with({file(image_file()), disk("{}"), metadata("{}")}));

  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().slug, "config_ambiguous");
  EXPECT_EQ(result.error().exit_code, ExitCode::bad_configuration);
}

// covers: S02_EEA_CFG_006
TEST(AgentConfig, S02_EEA_CFG_006_unknown_key_is_an_error_of_the_image_and_a_warning_of_the_host) {
  EXPECT_NE(problems(inputs_with({file(image_file(R"(,"colour":"red")"))})).find(R"(unknown key "colour")"),
            std::string::npos);
  EXPECT_NE(problems(inputs_with({file(image_file())}, {{"EE_AGENT_COLOUR", "red"}})).find("unknown key"),
            std::string::npos);
  ConfigInputs flag = inputs_with({file(image_file())});
  flag.flags = {{"colour", "red"}};
  EXPECT_NE(problems(flag).find("unknown key"), std::string::npos);

  const auto host = load_config(inputs_with({file(image_file()), disk(R"({"colour":"red"})")}));
  ASSERT_TRUE(host);
  EXPECT_TRUE(warns(*host, "unknown key \"colour\""));
}

// covers: S02_EEA_CFG_007
TEST(AgentConfig, S02_EEA_CFG_007_never_prints_a_secret) {
  const std::string secret = "hush-hush-very-secret";
  const auto result = load_config(inputs_with(
      {file(image_file(R"(,"env":"dev","bootstrap_token":")" + secret + R"(","ita_api_key":")" + secret + R"(")"))}));

  ASSERT_TRUE(result);
  const std::string text = describe(*result);
  EXPECT_EQ(text.find(secret), std::string::npos);
  EXPECT_NE(text.find("bootstrap_token = \"***\"  # file"), std::string::npos);
  EXPECT_NE(text.find("node_size = \"tiny\"  # file"), std::string::npos);
  EXPECT_EQ(result->config.bootstrap_token->reveal(), secret);
}

TEST(AgentConfig, NoProblemRepeatsAValue) {
  const std::string text =
      problems(inputs_with({file(image_file(R"(,"vm_name":"HUSH HUSH","bootstrap_token":{"HUSH":1})"))}));
  EXPECT_NE(text.find("bootstrap_token"), std::string::npos);
  EXPECT_EQ(text.find("HUSH"), std::string::npos);
}

TEST(AgentConfig, RequiresWhatAnAgentCannotGuess) {
  const std::string text = problems(inputs_with({file("{}")}));
  EXPECT_NE(text.find("control_plane_url is required"), std::string::npos);
  EXPECT_NE(text.find("node_size is required"), std::string::npos);
  EXPECT_NE(text.find("datacenter is required"), std::string::npos);
  EXPECT_EQ(problems(inputs_with({file(R"({"mode":"measure"})")})), "accepted");
}

TEST(AgentConfig, TakesTheDatacenterFromTheZone) {
  ConfigInputs inputs = inputs_with({file(R"({"control_plane_url":"https://cp.example.com","node_size":"tiny"})")});
  inputs.gce_zone = "us-central1-b";
  EXPECT_EQ(loaded(inputs).datacenter, "gcp:us-central1-b");
}

TEST(AgentConfig, NormalisesTheControlPlanesOrigin) {
  const auto origin = [](std::string url) {
    return loaded(inputs_with({file(image_file())}, {{"EE_AGENT_CONTROL_PLANE_URL", std::move(url)}}))
        .control_plane_url;
  };
  EXPECT_EQ(origin("https://CP.Example.com/"), "https://cp.example.com");
  EXPECT_EQ(origin("https://cp.example.com:443"), "https://cp.example.com");
  EXPECT_EQ(origin("https://cp.example.com:8443"), "https://cp.example.com:8443");
  for (const char* bad : {"cp.example.com", "ftp://cp.example.com", "https://u@cp.example.com",
                          "https://cp.example.com/x", "https://cp.example.com/?a=b"})
    EXPECT_NE(problems(inputs_with({file(image_file())}, {{"EE_AGENT_CONTROL_PLANE_URL", bad}})), "accepted") << bad;
}

TEST(AgentConfig, PlainHttpIsForDevAndLoopbackOnly) {
  const auto with = [](std::string env, std::string url) {
    return problems(inputs_with({file(image_file())},
                                {{"EE_AGENT_ENV", std::move(env)}, {"EE_AGENT_CONTROL_PLANE_URL", std::move(url)}}));
  };
  EXPECT_EQ(with("dev", "http://127.0.0.1:8080"), "accepted");
  EXPECT_EQ(with("dev", "http://localhost:8080"), "accepted");
  EXPECT_EQ(with("dev", "http://10.0.2.2:8080"), "accepted");
  EXPECT_NE(with("dev", "http://cp.example.com"), "accepted");
  EXPECT_NE(with("production", "http://127.0.0.1:8080"), "accepted");
  EXPECT_NE(with("staging", "http://127.0.0.1:8080"), "accepted");
}

/// The two agents of `make run`.
std::vector<std::pair<std::string, std::string>> dev_environment(std::string listen) {
  return {{"EE_AGENT_ENV", "dev"},           {"EE_ALLOW_EMULATED_TDX", "1"},
          {"EE_AGENT_LISTEN", listen},       {"EE_AGENT_CONTROL_PLANE_URL", "http://127.0.0.1:8080"},
          {"EE_AGENT_NODE_SIZE", "tiny"},    {"EE_AGENT_DATACENTER", "baremetal:local"},
          {"EE_AGENT_DATA_DIR", "/r/agent"}, {"EE_AGENT_VM_NAME", "dev-agent-2"}};
}

TEST(AgentConfig, DevelopmentDefaultsFollowTheListener) {
  const AgentConfig config = loaded(inputs_with({}, dev_environment("127.0.1.2:8088")));

  EXPECT_EQ(config.direct_url, "http://127.0.1.2:8088");
  EXPECT_EQ(config.workload_address, "127.0.1.2");
  EXPECT_EQ(config.capacity, (agent_api::Capacity{.vcpus = 4, .memory_mib = 4096, .disk_mib = 81920, .gpu_count = 0}));
  EXPECT_EQ(config.cp_attestation_mode, CpAttestationMode::optional);
  EXPECT_EQ(config.emulated_tdx_dir, "/r/agent/emulated-tdx");
  EXPECT_EQ(config.cloudflared_metrics(), (Endpoint{.host = "127.0.1.2", .port = 8089}));
}

TEST(AgentConfig, ProductionDefaultsAreStrict) {
  const AgentConfig config = loaded(inputs_with({file(image_file())}));

  EXPECT_EQ(config.env, Environment::production);
  EXPECT_EQ(config.cp_attestation_mode, CpAttestationMode::required);
  EXPECT_EQ(config.direct_url, std::nullopt);
  EXPECT_EQ(config.workload_address, "127.0.0.1");
  EXPECT_EQ(config.capacity, std::nullopt);
  EXPECT_EQ(config.listen.str(), "127.0.0.1:8088");
  EXPECT_EQ(config.cloudflared_metrics().str(), "127.0.0.1:8089");
  EXPECT_FALSE(config.allow_emulated_tdx);
}

TEST(AgentConfig, DevOnlyKeysAreRefusedElsewhere) {
  for (const char* more :
       {R"(,"direct_url":"http://127.0.0.1:1")", R"(,"dev_insecure_registry":"127.0.0.1:5000")",
        R"(,"container_runtime":"fake")", R"(,"listen":"0.0.0.0:8088")", R"(,"workload_address":"127.0.1.1")",
        R"(,"listen":"127.0.0.1:0")", R"(,"dcap_pcs_url":"http://127.0.0.1:9")",
        R"(,"capacity":{"vcpus":4,"memory_mib":1,"disk_mib":1,"gpu_count":0})"})
    EXPECT_NE(problems(inputs_with({file(image_file(more))})), "accepted") << more;
}

TEST(AgentConfig, ARegistryOfTheHostIsALoopbackPortInDevelopment) {
  const std::string dev = R"(,"env":"dev")";
  const auto given = [&](const std::string& value) {
    return inputs_with({file(image_file(dev)), disk(R"({"dev_insecure_registry":)" + value + "}")});
  };
  EXPECT_EQ(loaded(given(R"("127.0.0.1:5000")")).dev_insecure_registry, (Endpoint{.host = "127.0.0.1", .port = 5000}));
  for (const char* bad : {R"("10.0.2.2:5000")", R"("127.0.0.1:0")", R"("127.0.0.1")", R"("[::1]:5000")", "5000"})
    EXPECT_NE(problems(given(bad)), "accepted") << bad;
  EXPECT_NE(problems(inputs_with({file(image_file()), disk(R"({"dev_insecure_registry":"127.0.0.1:5000"})")})),
            "accepted")
      << "not outside development, whoever names it";
}

TEST(AgentConfig, NothingIsDeployedWithoutAControlPlane) {
  for (const char* gone : {R"(,"env":"dev","allow_inline_deploy":true)", R"(,"env":"dev","dev_token":"x")"})
    EXPECT_NE(problems(inputs_with({file(image_file(gone))})).find("unknown key"), std::string::npos) << gone;
}

// covers: S02_EEA_EMU_001
TEST(AgentConfig, S02_EEA_EMU_001_emulation_needs_both_switches_from_the_image) {
  struct Row {
    const char* what;
    std::vector<std::pair<std::string, std::string>> environment;
    std::string host;
  };
  const std::vector<Row> rows = {
      {"switch without env dev", {{"EE_ALLOW_EMULATED_TDX", "1"}}, "{}"},
      {"switch in staging", {{"EE_ALLOW_EMULATED_TDX", "1"}, {"EE_AGENT_ENV", "staging"}}, "{}"},
      {"key without env dev", {{"EE_AGENT_ALLOW_EMULATED_TDX", "true"}}, "{}"},
      {"provider without the switch", {{"EE_AGENT_ENV", "dev"}, {"EE_AGENT_TDX_PROVIDER", "emulated"}}, "{}"},
      {"switch off",
       {{"EE_AGENT_ENV", "dev"}, {"EE_AGENT_TDX_PROVIDER", "emulated"}, {"EE_ALLOW_EMULATED_TDX", "0"}},
       "{}"},
      {"switch by the host", {{"EE_AGENT_ENV", "dev"}}, R"({"allow_emulated_tdx":true})"},
  };
  for (const Row& row : rows) {
    const auto result = load_config(inputs_with({file(image_file()), disk(row.host)}, row.environment));
    ASSERT_FALSE(result) << row.what;
    EXPECT_EQ(result.error().exit_code, ExitCode::no_tdx) << row.what;
    EXPECT_EQ(result.error().slug, "emulated_tdx_forbidden") << row.what;
  }
  const auto both =
      load_config(inputs_with({file(image_file())}, {{"EE_AGENT_ENV", "dev"}, {"EE_ALLOW_EMULATED_TDX", "1"}}));
#ifdef EE_EMULATOR
  EXPECT_TRUE(both);
#else
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().exit_code, ExitCode::no_tdx);
#endif
}

TEST(AgentConfig, OwnKeyBeatsTheSharedSwitch) {
  const AgentConfig config = loaded(
      inputs_with({file(image_file())},
                  {{"EE_AGENT_ENV", "dev"}, {"EE_ALLOW_EMULATED_TDX", "1"}, {"EE_AGENT_ALLOW_EMULATED_TDX", "false"}}));
  EXPECT_FALSE(config.allow_emulated_tdx);
}

TEST(AgentConfig, ReadsPinsOfEitherForm) {
  const std::string mrtd(96, 'a');
  const AgentConfig config =
      loaded(inputs_with({file(image_file(R"(,"trusted_cp_mrtds":[")" + mrtd + R"(",{"mrtd":")" + mrtd +
                                          R"(","rtmr1":")" + std::string(96, 'b') + R"(","rtmr2":null}])"))},
                         {{"EE_AGENT_CP_SIGNING_KEYS", std::string(kKeyA) + "," + std::string(kKeyB)}}));

  ASSERT_EQ(config.trusted_cp_mrtds.size(), 2U);
  EXPECT_EQ(config.trusted_cp_mrtds[0].rtmrs[1], std::nullopt);
  EXPECT_EQ(to_hex(*config.trusted_cp_mrtds[1].rtmrs[1]), std::string(96, 'b'));
  EXPECT_EQ(config.trusted_cp_mrtds[1].rtmrs[2], std::nullopt);
  EXPECT_EQ(config.cp_signing_keys.size(), 2U);
  for (const char* bad :
       {R"(,"trusted_cp_mrtds":["ab"])", R"(,"trusted_cp_mrtds":[{"rtmr0":null}])",
        R"(,"trusted_cp_mrtds":[{"mrtd":"zz"}])", R"(,"cp_signing_keys":["AAAA"])", R"(,"cp_signing_keys":"x")"})
    EXPECT_NE(problems(inputs_with({file(image_file(bad))})), "accepted") << bad;
}

TEST(AgentConfig, ReadsTheListener) {
  for (const char* bad : {"8088", "localhost:8088", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65535", "127.0.0.1:99999",
                          "127.0.0.01:1", "127.0.0.256:1", "127.0.0:1", "[::2]:1"})
    EXPECT_NE(problems(inputs_with({file(image_file())}, {{"EE_AGENT_LISTEN", bad}})), "accepted") << bad;
  EXPECT_EQ(loaded(inputs_with({file(image_file())}, {{"EE_AGENT_LISTEN", "[::1]:9000"}})).listen.host, "[::1]");
}

TEST(AgentConfig, MakesPathsAbsolute) {
  const auto data_dir = [](std::string path) {
    return loaded(inputs_with({file(image_file())}, {{"EE_AGENT_DATA_DIR", std::move(path)}})).data_dir;
  };
  EXPECT_EQ(data_dir("/r/agent-1/"), "/r/agent-1");
  EXPECT_EQ(data_dir("/r//x/../agent-1"), "/r/agent-1");
  EXPECT_EQ(data_dir("build/run/agent-1"), (std::filesystem::current_path() / "build/run/agent-1").string());
}

TEST(GatherInputs, ReadsTheNamedFileAndFailsWithoutIt) {
  const testing::TempDir dir;
  const std::string path = dir / "agent.json";
  std::ofstream(path) << image_file();

  const auto found = gather_inputs(path, {});
  const auto missing = gather_inputs(dir / "other.json", {});

  ASSERT_TRUE(found);
  ASSERT_EQ(found->documents.size(), 1U);
  EXPECT_EQ(found->documents[0].text, image_file());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().exit_code, ExitCode::bad_configuration);
}

}  // namespace
}  // namespace ee::agent
