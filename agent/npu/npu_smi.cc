// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/npu_smi.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/string_views.h"

namespace npufleet::npu {
namespace {

// No line of the tool comes near this; longer ones are not looked at.
constexpr size_t kMaxLineBytes = 4096;
constexpr int kMaxWarnings = 20;

std::string Clean(absl::string_view text, size_t max_bytes = 300) {
  return Printable(Std(text), max_bytes);
}

v1::Chip::Health HealthOf(absl::string_view word) { return HealthFromWord(Std(word)); }

std::vector<absl::string_view> Words(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

std::optional<uint32_t> ToNumber(absl::string_view text) {
  uint32_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

// "0000:C1:00.0"
bool IsBusId(absl::string_view cell) {
  std::vector<absl::string_view> parts = absl::StrSplit(cell, absl::ByAnyChar(":."));
  if (parts.size() != 4 || !absl::StrContains(cell, '.')) return false;
  return std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
    return !part.empty() && part.size() <= 8 &&
           std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isxdigit(c); });
  });
}

bool IsNotAvailable(absl::string_view cell) { return cell == "NA" || cell == "N/A" || cell == "-"; }

// The values of a cell in which a "used / total" is one value: "0   30710/ 32768" -> {"0",
// "30710/32768"}.
std::vector<std::string> Values(absl::string_view cell) {
  std::vector<std::string> values;
  bool joins = false;
  for (absl::string_view word : Words(cell)) {
    if (joins || (word.front() == '/' && !values.empty())) {
      absl::StrAppend(&values.back(), word);
    } else {
      values.emplace_back(word);
    }
    joins = word.back() == '/';
  }
  return values;
}

std::optional<std::pair<uint64_t, uint64_t>> ToUsage(absl::string_view value) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(value, absl::MaxSplits('/', 1));
  uint64_t used = 0, total = 0;
  if (!absl::SimpleAtoi(parts.first, &used) || !absl::SimpleAtoi(parts.second, &total)) {
    return std::nullopt;
  }
  return std::pair(used, total);
}

// The names that headers of the last cell hold, in their order. Names may hold blanks themselves,
// so they are looked for rather than split.
std::vector<absl::string_view> KnownColumns(absl::string_view header) {
  static constexpr absl::string_view kColumns[] = {
      "Power(W)",    "Temp(C)",          "Hugepages-Usage(page)", "AICore(%)",
      "NPU Util(%)", "Memory-Usage(MB)", "HBM-Usage(MB)"};
  std::map<size_t, absl::string_view> found;
  for (absl::string_view column : kColumns) {
    if (size_t at = header.find(column); at != header.npos) found[at] = column;
  }
  std::vector<absl::string_view> columns;
  for (auto& [at, column] : found) columns.push_back(column);
  return columns;
}

using Row = std::vector<absl::string_view>;

class InfoParser {
 public:
  v1::Inventory Parse(absl::string_view text) {
    bool ends_in_row = false;
    for (absl::string_view raw : absl::StrSplit(text, '\n')) {
      absl::string_view line = absl::StripAsciiWhitespace(raw);
      if (line.empty()) continue;
      if (line.size() > kMaxLineBytes) {
        Warn(absl::StrCat("a line of ", line.size(), " bytes was not read"));
        continue;
      }
      ends_in_row = line.front() == '|';
      if (!ends_in_row) {
        ReadMessage(line);
      } else if (line.size() < 2 || line.back() != '|') {
        Warn(absl::StrCat("a row without its end was not read: ", Clean(line, 60)));
      } else {
        ReadRow(line.substr(1, line.size() - 2));
      }
    }
    FinishChip();
    if (ends_in_row) Conclude(absl::StrCat("the table has no end: ", kCutOff));
    NameOrphans();
    AttachProcesses();
    if (inventory_.chips().empty()) {
      Conclude(absl::StrCat("no table of chips in ", text.size(), " bytes of npu-smi output",
                            told_ ? "" : absl::StrCat(", ", kNotUnderstood)));
    }
    return std::move(inventory_);
  }

 private:
  enum class Section { kNone, kChips, kProcesses };

  void Warn(absl::string_view warning) {
    if (inventory_.warnings_size() < kMaxWarnings) inventory_.add_warnings(Clean(warning));
  }

  // However many warnings came before it.
  void Conclude(absl::string_view warning) { inventory_.add_warnings(Clean(warning)); }

  void ReadMessage(absl::string_view line) {
    if (line.front() == '+' || line == "...") return;
    static constexpr absl::string_view kTelling[] = {
        "ret is", "ret=",    "err is", "[WARNING]", "[ERROR]", "rror",
        "ailed",  "Invalid", "no NPU", "not found", "support", "cannot open"};
    for (absl::string_view word : kTelling) {
      if (!absl::StrContains(line, word)) continue;
      told_ = true;
      return Warn(line);
    }
  }

  void ReadRow(absl::string_view line) {
    Row cells = absl::StrSplit(line, '|');
    for (absl::string_view& cell : cells) cell = absl::StripAsciiWhitespace(cell);
    if (ReadVersion(line) || ReadHeader(line, cells)) return;
    if (section_ == Section::kProcesses) return ReadProcess(cells);
    ReadChipRow(cells);
  }

  // "npu-smi TOOL   Version: DRIVER"; a second one begins a newer table.
  bool ReadVersion(absl::string_view line) {
    std::vector<absl::string_view> words = Words(line);
    if (words.size() < 2 || words[0] != "npu-smi") return false;
    FinishChip();
    inventory_.clear_chips();
    processes_.clear();
    orphans_.clear();
    section_ = Section::kNone;
    first_columns_.clear();
    second_columns_.clear();
    inventory_.set_tool_version(Clean(words[1], 60));
    for (size_t i = 2; i + 1 < words.size(); ++i) {
      if (words[i] == "Version:") inventory_.set_driver_version(Clean(words[i + 1], 60));
    }
    return true;
  }

  bool ReadHeader(absl::string_view line, const Row& cells) {
    if (absl::StrContains(line, "Process id") && absl::StartsWith(cells[0], "NPU")) {
      FinishChip();
      section_ = Section::kProcesses;
      process_columns_.assign(cells.begin(), cells.end());
      return true;
    }
    if (absl::StrContains(line, "Power(W)")) {
      FinishChip();
      section_ = Section::kChips;
      first_columns_ = KnownColumns(cells.back());
      name_has_own_cell_ = std::find(cells.begin(), cells.end(), "Name") != cells.end();
      return true;
    }
    if (absl::StrContains(line, "Bus-Id")) {
      second_columns_ = KnownColumns(cells.back());
      has_physical_id_ = absl::StrContains(cells[0], "Phy-ID");
      return true;
    }
    return false;
  }

  // Both rows of a chip have the cells: ids [, name], health or bus id, figures.
  void ReadChipRow(const Row& cells) {
    size_t expected = section_ == Section::kChips && name_has_own_cell_ ? 4 : 3;
    if (cells.size() != expected) {
      if (cells.size() > 1) Warn(absl::StrCat("a row of ", cells.size(), " cells was not read"));
      return;
    }
    absl::string_view status = cells[expected - 2];
    if (IsBusId(status) || IsNotAvailable(status)) {
      ReadSecondRow(cells);
    } else {
      ReadFirstRow(cells);
    }
  }

  void ReadFirstRow(const Row& cells) {
    FinishChip();
    std::vector<absl::string_view> words = Words(cells[0]);
    std::optional<uint32_t> npu = words.empty() ? std::nullopt : ToNumber(words[0]);
    if (!npu) {
      Warn(absl::StrCat("a row without an NPU id was not read: ", Clean(cells[0], 40)));
      return;
    }
    if (section_ == Section::kNone && !warned_of_header_) {
      warned_of_header_ = true;
      Warn("the table has no header: power, temperature, memory and load were not read");
    }
    has_chip_ = true;
    chip_.set_npu(*npu);
    if (name_has_own_cell_) {
      chip_.set_name(Clean(cells[1], 60));
    } else if (words.size() > 1) {
      chip_.set_name(Clean(words[1], 60));
    }
    absl::string_view health = cells[cells.size() - 2];
    chip_.set_health(HealthOf(health));
    if (chip_.health() == v1::Chip::HEALTH_UNKNOWN && !absl::EqualsIgnoreCase(health, "UNKNOWN")) {
      Warn(absl::StrCat("NPU ", *npu, ": unknown health word \"", Clean(health, 30), "\""));
    }
    ReadFigures(first_columns_, cells.back());
  }

  void ReadSecondRow(const Row& cells) {
    if (!has_chip_) {
      orphans_.push_back(inventory_.chips_size());
      chip_.set_health(v1::Chip::GONE);
      has_chip_ = true;
    }
    std::vector<absl::string_view> words = Words(cells[0]);
    if (!words.empty()) chip_.set_chip(ToNumber(words[0]).value_or(0));
    if (has_physical_id_ && words.size() > 1) {
      if (auto physical = ToNumber(words[1])) chip_.set_physical_id(*physical);
    } else if (absl::StartsWith(chip_.name(), "910B")) {
      chip_.set_physical_id(chip_.npu());
    }
    absl::string_view bus_id = cells[cells.size() - 2];
    if (IsBusId(bus_id)) chip_.set_bus_id(std::string(bus_id));
    ReadFigures(second_columns_, cells.back());
    second_row_read_ = true;
    FinishChip();
  }

  void ReadFigures(const std::vector<absl::string_view>& columns, absl::string_view cell) {
    if (columns.empty()) return;
    std::vector<std::string> values = Values(cell);
    // 310B prints "Power Temp Hugepages", die 1 of an A3 "-": as many values as columns, always.
    if (values.size() != columns.size()) {
      Warn(absl::StrCat("NPU ", chip_.npu(), ": ", values.size(), " figures under ", columns.size(),
                        " headers"));
      return;
    }
    for (size_t i = 0; i < columns.size(); ++i) ReadFigure(columns[i], values[i]);
  }

  void ReadFigure(absl::string_view column, absl::string_view value) {
    if (IsNotAvailable(value)) return;
    if (column == "Power(W)") {
      double watts = 0;
      if (absl::SimpleAtod(value, &watts) && watts > 0) {
        chip_.set_power_watts(watts);
      } else {
        looks_unread_ = true;
      }
    } else if (column == "Temp(C)") {
      int32_t celsius = 0;
      if (absl::SimpleAtoi(value, &celsius) && celsius != 0) chip_.set_temperature_celsius(celsius);
    } else if (column == "AICore(%)" || column == "NPU Util(%)") {
      if (auto percent = ToNumber(value)) chip_.set_aicore_percent(*percent);
    } else if (column == "Memory-Usage(MB)") {
      if (auto usage = ToUsage(value); usage && usage->second > 0) {
        chip_.set_memory_used_mib(usage->first);
        chip_.set_memory_total_mib(usage->second);
      }
    } else if (column == "HBM-Usage(MB)") {
      if (auto usage = ToUsage(value); usage && usage->second > 0) {
        chip_.set_hbm_used_mib(usage->first);
        chip_.set_hbm_total_mib(usage->second);
      } else {
        looks_unread_ = true;
        chip_.clear_aicore_percent();
      }
    }
  }

  void FinishChip() {
    if (has_chip_) {
      if (!second_row_read_) Warn(absl::StrCat("NPU ", chip_.npu(), ": its second row is missing"));
      if (looks_unread_ && chip_.health() == v1::Chip::OK) {
        chip_.set_health(v1::Chip::HEALTH_UNKNOWN);
        Warn(absl::StrCat("NPU ", chip_.npu(),
                          " shows OK beside readings that failed (0 W or HBM 0/0): unknown"));
      }
      *inventory_.add_chips() = std::move(chip_);
    }
    chip_.Clear();
    has_chip_ = second_row_read_ = looks_unread_ = false;
  }

  void ReadProcess(const Row& cells) {
    if (cells.size() != process_columns_.size()) return;  // "No running processes found in NPU 0"
    std::vector<absl::string_view> ids = Words(cells[0]);
    if (ids.empty()) return;
    std::optional<uint32_t> npu = ToNumber(ids[0]);
    std::optional<uint32_t> chip = ids.size() > 1 ? ToNumber(ids[1]) : 0;
    if (!npu || !chip) return;
    v1::Chip::Process process;
    for (size_t i = 1; i < cells.size(); ++i) {
      if (process_columns_[i] == "Process id") {
        std::optional<uint32_t> pid = ToNumber(cells[i]);
        if (!pid) return Warn(absl::StrCat("NPU ", *npu, ": a process without an id"));
        process.set_pid(*pid);
      } else if (process_columns_[i] == "Process name") {
        process.set_name(Clean(cells[i], 60));
      } else if (process_columns_[i] == "Process memory(MB)") {
        process.set_memory_mib(ToNumber(cells[i]).value_or(0));
      } else if (process_columns_[i] == "Process id in container") {
        process.set_container_pid(ToNumber(cells[i]).value_or(0));
      }
    }
    processes_.push_back({*npu, *chip, std::move(process)});
  }

  // The NPU id stands in the row that an orphan lacks; the rows are in the order of the ids.
  void NameOrphans() {
    for (int at : orphans_) {
      v1::Chip* chip = inventory_.mutable_chips(at);
      bool is_first = at == 0;
      bool next_is_known = at + 1 < inventory_.chips_size() &&
                           std::find(orphans_.begin(), orphans_.end(), at + 1) == orphans_.end();
      uint32_t npu = 0;
      if (!is_first) {
        npu = inventory_.chips(at - 1).npu() + 1;
      } else if (next_is_known && inventory_.chips(1).npu() > 0) {
        npu = inventory_.chips(1).npu() - 1;
      }
      chip->set_npu(npu);
      Warn(absl::StrCat("the chip on bus ", chip->bus_id().empty() ? "NA" : chip->bus_id(),
                        " answers nothing any more; by its place in the table it is NPU ", npu));
    }
  }

  void AttachProcesses() {
    for (Found& found : processes_) {
      auto* chips = inventory_.mutable_chips();
      auto chip = std::find_if(chips->begin(), chips->end(), [&](const v1::Chip& c) {
        return c.npu() == found.npu && c.chip() == found.chip;
      });
      if (chip == chips->end()) {
        Warn(absl::StrCat("process ", found.process.pid(), " on NPU ", found.npu,
                          ", which has no row"));
      } else {
        *chip->add_processes() = std::move(found.process);
      }
    }
  }

  struct Found {
    uint32_t npu;
    uint32_t chip;
    v1::Chip::Process process;
  };

  v1::Inventory inventory_;
  Section section_ = Section::kNone;
  std::vector<absl::string_view> first_columns_, second_columns_;
  std::vector<absl::string_view> process_columns_;
  bool name_has_own_cell_ = false;
  bool has_physical_id_ = false;
  bool warned_of_header_ = false;
  bool told_ = false;  // the tool said what is wrong
  v1::Chip chip_;      // the one whose rows are being read
  bool has_chip_ = false;
  bool second_row_read_ = false;
  bool looks_unread_ = false;
  std::vector<int> orphans_;  // indexes of chips
  std::vector<Found> processes_;
};

// "key   : value" lines; a line without a key continues the one before it.
std::vector<std::pair<std::string, std::string>> KeyValues(absl::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.size() > kMaxLineBytes) continue;
    std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.first.size() == line.size()) continue;
    std::string key(absl::StripAsciiWhitespace(parts.first));
    std::string value(absl::StripAsciiWhitespace(parts.second));
    if (key.empty() && !pairs.empty()) {
      absl::StrAppend(&pairs.back().second, "; ", value);
    } else {
      pairs.emplace_back(std::move(key), std::move(value));
    }
  }
  return pairs;
}

std::vector<std::string> HexCodes(absl::string_view text) {
  std::vector<std::string> codes;
  for (absl::string_view word : Words(text)) {
    word = absl::StripPrefix(absl::StripPrefix(word, "0x"), "0X");
    bool is_hex =
        !word.empty() && word.size() <= 8 &&
        std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isxdigit(c); });
    if (is_hex)
      codes.push_back(absl::AsciiStrToUpper(std::string(8 - word.size(), '0') + std::string(word)));
  }
  return codes;
}

size_t Utf8SequenceLength(absl::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  size_t length = byte(0) < 0x80                         ? 1
                  : (byte(0) >= 0xC2 && byte(0) <= 0xDF) ? 2
                  : (byte(0) >= 0xE0 && byte(0) <= 0xEF) ? 3
                  : (byte(0) >= 0xF0 && byte(0) <= 0xF4) ? 4
                                                         : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates and what is beyond U+10FFFF.
  if (length >= 3) {
    if (byte(0) == 0xE0 && byte(1) < 0xA0) return 0;
    if (byte(0) == 0xED && byte(1) > 0x9F) return 0;
    if (byte(0) == 0xF0 && byte(1) < 0x90) return 0;
    if (byte(0) == 0xF4 && byte(1) > 0x8F) return 0;
  }
  return length;
}

}  // namespace

v1::Inventory ParseNpuSmiInfo(std::string_view input) {
  v1::Inventory inventory = InfoParser().Parse(Absl(input));
  inventory.set_source("npu-smi");
  return inventory;
}

std::optional<NpuSmiHealth> ParseNpuSmiHealth(std::string_view input) {
  std::optional<NpuSmiHealth> health;
  for (auto& [key, value] : KeyValues(Absl(input))) {
    if (key == "Health Status" || key == "Health") {
      health.emplace().health = HealthOf(value);
    } else if (health && key == "Error Code") {
      health->error_codes = HexCodes(value == "NA" ? "" : value);
    } else if (health && key == "Error Information" && value != "NA") {
      health->information = Clean(value, 1000);
    }
  }
  return health;
}

std::vector<NpuSmiMapping> ParseNpuSmiMapping(std::string_view input) {
  std::vector<std::string> columns;
  std::vector<NpuSmiMapping> rows;
  for (absl::string_view line : absl::StrSplit(Absl(input), '\n')) {
    if (line.size() > kMaxLineBytes) continue;
    line = absl::StripAsciiWhitespace(line);
    if (columns.empty()) {
      if (!absl::StartsWith(line, "NPU ID")) continue;
      static constexpr absl::string_view kNames[] = {"NPU ID",        "Slot ID",     "Chip ID",
                                                     "Chip Logic ID", "Chip Phy-ID", "Chip Name"};
      std::map<size_t, absl::string_view> found;
      for (absl::string_view name : kNames) {
        if (size_t at = line.find(name); at != line.npos) found[at] = name;
      }
      for (auto& [at, name] : found) columns.emplace_back(name);
      continue;
    }
    std::vector<absl::string_view> words = Words(line);
    if (words.size() < columns.size()) continue;
    NpuSmiMapping row;
    bool readable = ToNumber(words[0]).has_value();
    for (size_t i = 0; i < columns.size(); ++i) {
      std::optional<uint32_t> number = ToNumber(words[i]);
      if (columns[i] == "NPU ID") row.npu = number.value_or(0);
      if (columns[i] == "Chip ID") row.chip = number.value_or(0);
      if (columns[i] == "Chip Logic ID") row.logic_id = number;
      if (columns[i] == "Chip Phy-ID") row.physical_id = number;
      if (columns[i] == "Chip Name") {  // the last column: it may hold a blank
        for (size_t j = i; j < words.size(); ++j) {
          absl::StrAppend(&row.name, j > i ? " " : "", Clean(words[j], 60));
        }
      }
    }
    if (readable) rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<int> ParseReturnCode(std::string_view input) {
  absl::string_view text = Absl(input);
  for (absl::string_view key : {"ret is ", "err is "}) {
    size_t at = text.find(key);
    if (at == text.npos) continue;
    absl::string_view rest = text.substr(at + key.size());
    size_t end = rest.find_first_not_of("-0123456789");
    int code = 0;
    if (absl::SimpleAtoi(rest.substr(0, end), &code)) return code;
  }
  return std::nullopt;
}

std::string ParseVersionInfo(std::string_view input) {
  for (absl::string_view line : absl::StrSplit(Absl(input), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (absl::ConsumePrefix(&line, "Version=")) return Clean(absl::StripAsciiWhitespace(line), 100);
  }
  return "";
}

v1::Chip::Health HealthFromWord(std::string_view word) {
  static constexpr std::pair<absl::string_view, v1::Chip::Health> kWords[] = {
      {"OK", v1::Chip::OK},
      {"Warning", v1::Chip::WARNING},
      {"Alarm", v1::Chip::ALARM},
      {"Critical", v1::Chip::CRITICAL}};
  for (auto& [known, health] : kWords) {
    if (absl::EqualsIgnoreCase(Absl(word), known)) return health;
  }
  return v1::Chip::HEALTH_UNKNOWN;
}

std::string Printable(std::string_view text, size_t max_bytes) {
  std::string printable;
  while (!text.empty() && printable.size() < max_bytes) {
    size_t length = Utf8SequenceLength(Absl(text));
    if (length == 0 ||
        (length == 1 && std::iscntrl(static_cast<unsigned char>(text[0])) && text[0] != '\t')) {
      printable += '?';
      text.remove_prefix(1);
      continue;
    }
    if (printable.size() + length > max_bytes) break;
    printable.append(text.substr(0, length));
    text.remove_prefix(length);
  }
  return printable;
}

}  // namespace npufleet::npu
