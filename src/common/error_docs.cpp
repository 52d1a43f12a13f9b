#include "common/error_docs.h"

#include <fmt/format.h>

#include <iterator>

#include "common/error.h"

namespace ee {

std::string errors_markdown() {
  std::string out =
      "# Error codes\n\n"
      "Every failed request is answered with `application/problem+json` (RFC 9457). Programs switch on its `code`, one "
      "of the\nslugs below; a slug is never renamed. `detail` says more where the caller may know more, and `errors` "
      "names each wrong\nfield of a request. Codes without a status are never in an HTTP answer: the agent, the "
      "launcher "
      "and the audit use them.\n\n"
      "This file is made from `src/common/error_codes.inc`.\n\n"
      "| code | status | title | meaning | what to do |\n| --- | --- | --- | --- | --- |\n";
  for (const ErrorInfo& info : error_table()) {
    const std::string status = info.http_status == 0 ? "-" : std::to_string(info.http_status);
    fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} | {} | {} |\n", info.slug, status, info.title,
                   info.meaning, info.remedy);
  }
  return out;
}

}  // namespace ee
