#include <boost/describe.hpp>
#include <boost/json/array.hpp>

#include "common/json.h"
#include "cp/integration/cloudflare/cloudflare_call.h"

namespace ee::cp::cloudflare {
namespace {

struct RecordBody {
  std::string type = "CNAME";
  std::string name;
  std::string content;
  bool proxied = true;
  std::int64_t ttl = 1;  // 1 = automatic
  std::string comment;
};
BOOST_DESCRIBE_STRUCT(RecordBody, (), (type, name, content, proxied, ttl, comment))

}  // namespace

namespace {
CfResult<std::vector<DnsRecord>> records_of(const Envelope& envelope) {
  if (!envelope.result.is_array()) return std::unexpected(malformed("a list of records that is none"));
  std::vector<DnsRecord> records;
  for (const auto& item : envelope.result.get_array()) {
    auto record = record_of(item);
    if (!record) return std::unexpected(record.error());
    records.push_back(std::move(*record));
  }
  return records;
}
}  // namespace

CfResult<std::vector<DnsRecord>> CloudflareClient::find_records(const std::string& name, const CallContext& context) {
  const auto envelope = call({.op = "find_record",
                              .method = "GET",
                              .path = fmt::format("/zones/{}/dns_records?type=CNAME&name={}&per_page={}",
                                                  config_().zone_id, percent_encode(name), kPerPage),
                              .subject = Subject::record},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  auto records = records_of(*envelope);
  if (records)
    std::erase_if(*records, [&](const DnsRecord& record) { return record.name != name || record.type != "CNAME"; });
  return records;
}

CfResult<std::vector<DnsRecord>> CloudflareClient::list_records(const std::string& comment_prefix,
                                                                const CallContext& context) {
  std::vector<DnsRecord> all;
  for (std::size_t page = 1; page <= kMaxPages; ++page) {
    const auto envelope =
        call({.op = "list_records",
              .method = "GET",
              .path = fmt::format("/zones/{}/dns_records?type=CNAME&comment.startswith={}&per_page={}&page={}",
                                  config_().zone_id, percent_encode(comment_prefix), kPerPage, page),
              .subject = Subject::record},
             context);
    if (!envelope) return std::unexpected(envelope.error());
    auto records = records_of(*envelope);
    if (!records) return records;
    const std::size_t count = records->size();
    for (DnsRecord& record : *records)
      if (record.comment.starts_with(comment_prefix) && record.type == "CNAME") all.push_back(std::move(record));
    if (is_last_page(*envelope, page, count)) return all;
  }
  return std::unexpected(malformed("a list of records that does not end"));
}

CfResult<DnsRecord> CloudflareClient::get_record(const std::string& record_id, const CallContext& context) {
  const auto envelope = call({.op = "get_record",
                              .method = "GET",
                              .path = fmt::format("/zones/{}/dns_records/{}", config_().zone_id, record_id),
                              .subject = Subject::record},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  auto record = record_of(envelope->result);
  if (record && record->id != record_id) return std::unexpected(malformed("another record than the one asked for"));
  return record;
}

CfResult<std::string> CloudflareClient::create_record(const std::string& name, const std::string& content,
                                                      const std::string& comment, const CallContext& context) {
  const RecordBody body{.name = name, .content = content, .comment = comment};
  const auto envelope = call({.op = "create_record",
                              .method = "POST",
                              .path = fmt::format("/zones/{}/dns_records", config_().zone_id),
                              .subject = Subject::record,
                              .body = json::write(body)},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  const auto record = record_of(envelope->result);
  if (!record) return std::unexpected(record.error());
  return record->id;
}

CfResult<void> CloudflareClient::update_record(const std::string& record_id, const std::string& name,
                                               const std::string& content, const std::string& comment,
                                               const CallContext& context) {
  const RecordBody body{.name = name, .content = content, .comment = comment};
  const auto envelope = call({.op = "update_record",
                              .method = "PUT",
                              .path = fmt::format("/zones/{}/dns_records/{}", config_().zone_id, record_id),
                              .subject = Subject::record,
                              .body = json::write(body)},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  return {};
}

CfResult<void> CloudflareClient::delete_record(const std::string& record_id, const CallContext& context) {
  const auto envelope = call({.op = "delete_record",
                              .method = "DELETE",
                              .path = fmt::format("/zones/{}/dns_records/{}", config_().zone_id, record_id),
                              .subject = Subject::record,
                              .deletion = true},
                             context);
  if (!envelope) return std::unexpected(envelope.error());
  return {};
}

}  // namespace ee::cp::cloudflare
