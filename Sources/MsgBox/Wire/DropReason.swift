/// Why something was dropped. The numbers are those of `MSG_DROP_MAP` in msgbox.h; a test holds the
/// two together.
package enum DropReason: UInt8, CaseIterable, Error, Sendable {
  case short = 0
  case notMsgBox = 1
  case version = 2
  case kind = 3
  case malformed = 4
  case option = 5
  case fragment = 6
  case noSession = 7
  case unknownSession = 8
  case wrongPath = 9
  case tombstone = 10
  case staleClose = 11
  case staleAccept = 12
  case staleReply = 13
  case staleResponse = 14
  case pendingFull = 15
  case connectionsFull = 16
  case requestsFull = 17
  case answerBudget = 18
  case tooBig = 19
  case ended = 20
  case sendFailed = 21
  case receiveMark = 22
  case truncated = 23
  case duplicate = 24
  case incomplete = 25
  case memory = 26
  case staleAck = 27
  case expired = 28
  case superseded = 29
  case prefixFull = 30
}
