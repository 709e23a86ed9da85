// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/journal.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::operations {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { Reopen(); }

  void Reopen() {
    journal_.reset();
    auto journal = Journal::Open(folder_.path() + "/journal.db");
    EXPECT_TRUE(journal.ok()) << journal.status();
    journal_ = *std::move(journal);
  }

  static JournalEntry Entry(const std::string& id, uint64_t epoch = 1) {
    JournalEntry entry;
    entry.operation.set_id(id);
    entry.operation.set_state(v1::Operation::ACCEPTED);
    entry.request.set_id(id);
    entry.request.set_epoch(epoch);
    return entry;
  }

  static v1::OperationEvent StateEvent(uint64_t sequence) {
    v1::OperationEvent event;
    event.set_sequence(sequence);
    event.mutable_operation()->set_state(v1::Operation::ACCEPTED);
    return event;
  }

  static v1::OperationEvent Line(uint64_t sequence) {
    v1::OperationEvent event;
    event.set_sequence(sequence);
    event.set_log_line(absl::StrCat("line ", sequence));
    return event;
  }

  fakes::TemporaryFolder folder_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(JournalTest, AnAcceptedOperationIsThereAfterReopening) {
  ASSERT_TRUE(journal_->Accept(Entry("a", 7), StateEvent(1)).ok());
  EXPECT_EQ(journal_->Accept(Entry("a", 7), StateEvent(1)).code(),
            absl::StatusCode::kAlreadyExists);
  Reopen();
  auto found = journal_->Find("a");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->request.epoch(), 7u);
  EXPECT_EQ(*journal_->Epoch(), 7u);
  EXPECT_EQ(journal_->EventsAfter("a", 0, 10)->size(), 1u);
  EXPECT_FALSE(journal_->Find("b")->has_value());
}

TEST_F(JournalTest, TheEpochNeverGoesBack) {
  EXPECT_EQ(*journal_->Epoch(), 0u);
  ASSERT_TRUE(journal_->Accept(Entry("a", 7), StateEvent(1)).ok());
  ASSERT_TRUE(journal_->Accept(Entry("b", 3), StateEvent(1)).ok());
  EXPECT_EQ(*journal_->Epoch(), 7u);
}

TEST_F(JournalTest, ARefusedUpdateChangesNothing) {
  JournalEntry entry = Entry("a");
  ASSERT_TRUE(journal_->Accept(entry, StateEvent(1)).ok());
  entry.operation.set_state(v1::Operation::FAILED);
  EXPECT_FALSE(journal_->Update(entry, {Line(2), Line(2)}).ok());
  EXPECT_EQ((*journal_->Find("a"))->operation.state(), v1::Operation::ACCEPTED);
  EXPECT_EQ(journal_->EventsAfter("a", 0, 10)->size(), 1u);
  EXPECT_EQ(journal_->Update(Entry("unknown"), {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(JournalTest, KeepsTheNewestEventsAndEachChangeOfState) {
  JournalEntry entry = Entry("a");
  ASSERT_TRUE(journal_->Accept(entry, StateEvent(1)).ok());
  std::vector<v1::OperationEvent> events;
  for (uint64_t i = 2; i <= Journal::kKeptEvents + 100; ++i) events.push_back(Line(i));
  ASSERT_TRUE(journal_->Update(entry, events).ok());
  auto kept = journal_->EventsAfter("a", 0, 1 << 20);
  ASSERT_EQ(kept->size(), Journal::kKeptEvents + 1);
  EXPECT_EQ((*kept)[0].sequence(), 1u);
  EXPECT_EQ((*kept)[1].sequence(), 101u);
  EXPECT_EQ(journal_->EventsAfter("a", Journal::kKeptEvents + 99, 10)->size(), 1u);
  auto tail = journal_->LogTail("a", 2);
  EXPECT_EQ(*tail, (std::vector<std::string>{"line 5099", "line 5100"}));
}

TEST_F(JournalTest, ListsByPagesNewestFirst) {
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    ASSERT_TRUE(journal_->Accept(Entry(id), StateEvent(1)).ok());
  }
  std::string seen;
  int64_t before = 0;
  do {
    auto page = journal_->List(before, 2);
    ASSERT_TRUE(page.ok());
    for (const v1::Operation& operation : page->operations) seen += operation.id();
    before = page->next;
  } while (before != 0);
  EXPECT_EQ(seen, "edcba");
}

TEST_F(JournalTest, PrunesTheOldestThatAreOver) {
  for (const char* id : {"a", "b", "c", "d"}) {
    JournalEntry entry = Entry(id);
    ASSERT_TRUE(journal_->Accept(entry, StateEvent(1)).ok());
    if (id[0] == 'a') continue;
    entry.operation.set_state(v1::Operation::SUCCEEDED);
    ASSERT_TRUE(journal_->Update(entry, {}).ok());
  }
  auto gone = journal_->Prune(2);
  EXPECT_EQ(*gone, std::vector<std::string>{"b"});
  EXPECT_FALSE(journal_->EventsAfter("b", 0, 10).ok());
  ASSERT_EQ(journal_->Live()->size(), 1u);
  EXPECT_EQ((*journal_->Live())[0].operation.id(), "a");
}

}  // namespace
}  // namespace npufleet::operations
