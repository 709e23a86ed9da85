// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_npus/reset_history.h"

#include <algorithm>
#include <utility>

#include "agent/host/json.h"

namespace npufleet::verbs {
namespace {

constexpr char kPath[] = "/var/lib/npufleet/agent/npu-resets.json";
constexpr size_t kMaxBytes = 1 << 20;
// The field's time window for a code that comes back (faultCustomization.json of mind-cluster:
// 86400 s, two to three times, then the chip is taken out by hand).
constexpr absl::Duration kWindow = absl::Hours(24);
constexpr int kMostHelped = 2;
constexpr size_t kMostEntries = 64;

constexpr const char* kResults[] = {"begun", "did not help", "helped"};

ResetHistory::Result ResultFrom(const std::string& word) {
  for (int i = 0; i < 3; ++i) {
    if (word == kResults[i]) return static_cast<ResetHistory::Result>(i);
  }
  return ResetHistory::Result::kDidNotHelp;
}

bool HaveOneInCommon(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(), [&](const std::string& code) {
    return std::find(b.begin(), b.end(), code) != b.end();
  });
}

}  // namespace

ResetHistory::ResetHistory(host::Host& host) : host_(host) {
  absl::StatusOr<std::string> text = host.filesystem->Read(kPath, kMaxBytes);
  if (!text.ok()) return;
  const host::Json json = host::ParseJson(*text);
  if (!json.is_array()) return;
  for (const host::Json& row : json) {
    Entry entry;
    entry.chip = static_cast<uint32_t>(host::NumberOf(row, "chip"));
    entry.boot_id = host::TextOf(row, "boot_id");
    entry.time = absl::FromUnixSeconds(host::NumberOf(row, "time"));
    entry.result = ResultFrom(host::TextOf(row, "result"));
    entry.ended_before = host::NumberOf(row, "ended_before");
    for (const host::Json& code : host::Member(row, "codes")) {
      if (code.is_string()) entry.codes.push_back(code.get<std::string>());
    }
    entries_.push_back(std::move(entry));
  }
}

ResetHistory::Verdict ResetHistory::Judge(uint32_t chip, const std::vector<std::string>& codes,
                                          const std::string& boot_id) const {
  std::vector<const Entry*> same;
  for (const Entry& entry : entries_) {
    if (entry.chip == chip && HaveOneInCommon(entry.codes, codes)) same.push_back(&entry);
  }
  if (same.empty()) return Verdict::kReset;
  const Entry& last = *same.back();
  if (last.result == Result::kDidNotHelp && last.boot_id == boot_id) {
    // Measured from the last one: what must be replaced stays so however long nobody comes.
    const bool failed_before = std::any_of(same.begin(), same.end(), [&](const Entry* entry) {
      return entry->result == Result::kDidNotHelp && entry->boot_id != boot_id &&
             last.time - entry->time < kWindow;
    });
    return failed_before ? Verdict::kReplace : Verdict::kReboot;
  }
  const absl::Time now = host_.clock->Now();
  const auto helped = std::count_if(same.begin(), same.end(), [&](const Entry* entry) {
    return entry->result == Result::kHelped && now - entry->time < kWindow;
  });
  return helped >= kMostHelped ? Verdict::kReplace : Verdict::kReset;
}

bool ResetHistory::IsUnderWay(const std::string& boot_id) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.result == Result::kBegun && entry.boot_id == boot_id;
  });
}

int ResetHistory::NewestOf(uint32_t chip) const {
  for (int i = static_cast<int>(entries_.size()) - 1; i >= 0; --i) {
    if (entries_[i].chip == chip) return i;
  }
  return -1;
}

absl::Status ResetHistory::Record(uint32_t chip, const std::vector<std::string>& codes,
                                  const std::string& boot_id, Result result) {
  int64_t ended_before = 0;
  if (const int newest = NewestOf(chip); newest >= 0) {
    const bool was_begun = entries_[newest].result == Result::kBegun;
    ended_before = entries_[newest].ended_before + (was_begun ? 0 : 1);
    if (was_begun) entries_.erase(entries_.begin() + newest);
  }
  entries_.push_back({chip, codes, boot_id, host_.clock->Now(), result, ended_before});
  if (entries_.size() > kMostEntries) entries_.erase(entries_.begin());
  return Save();
}

absl::Status ResetHistory::Forget(uint32_t chip) {
  const int newest = NewestOf(chip);
  if (newest < 0) return absl::OkStatus();
  entries_.erase(entries_.begin() + newest);
  return Save();
}

int64_t ResetHistory::EndedBefore(uint32_t chip) const {
  const int newest = NewestOf(chip);
  return newest < 0 ? 0 : entries_[newest].ended_before;
}

absl::Status ResetHistory::Save() {
  host::Json json = host::Json::array();
  for (const Entry& entry : entries_) {
    json.push_back({{"chip", entry.chip},
                    {"codes", entry.codes},
                    {"boot_id", entry.boot_id},
                    {"time", absl::ToUnixSeconds(entry.time)},
                    {"result", kResults[static_cast<int>(entry.result)]},
                    {"ended_before", entry.ended_before}});
  }
  return host_.filesystem->Write(kPath, host::WriteJson(json, 1));
}

}  // namespace npufleet::verbs
