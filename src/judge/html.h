#pragma once
// The frame that all reports share: one page, no scripts, no links.
#include <string>

namespace octavo {

// `body` is HTML; `title` is text.
std::string html_page(const std::string& title, const std::string& body);

}  // namespace octavo
