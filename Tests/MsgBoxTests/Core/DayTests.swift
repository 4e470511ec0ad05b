import MsgBox
import Testing

@Suite("A server and 200 clients for a long time")
struct DayTests {
  /// Virtual minutes; MSGBOX_HOURS sets hours instead. A day takes some minutes in a debug build.
  private static let minutes = (environmentNumber("MSGBOX_HOURS") ?? 0) * 60
  private static let length = minutes > 0 ? minutes : 12

  @Test("With bad links and changing addresses no message is lost and nothing grows")
  func day() throws {
    let day = Day(seed: 21, clients: 200)
    #expect(day.begin())
    day.simulation.changeAll {
      $0.loss = 100
      $0.jitter = .milliseconds(30)
      $0.reordering = 50
      $0.duplication = 20
    }
    for minute in 0..<Self.length {
      day.minute(minute, addressesChangeEvery: 5)
      let census = day.server.census
      #expect(abs(census.connections - 200) < 5 && census.requestsOpen == 0, "minute \(minute)")
      // What is under way to an address that is no more waits until the session has moved.
      #expect(census.queuedMessages < 50 && census.incompleteBytes < 100_000, "minute \(minute)")
    }
    day.end()
    #expect(day.echoes == day.sent)
    #expect(day.server.log.count(.connectionReady) == 200 + day.losses)
    // An idle client beats twice or three times before it is given up, and what proves its new
    // address may be lost each time.
    #expect(day.losses <= 2 + day.addressChanges / 500, "\(day.losses) of \(day.addressChanges)")
    // A get has eight chances in its five seconds, less while its session moves.
    let missing = day.gets - day.replies
    #expect(missing >= 0 && missing <= 2 + day.gets / 100, "of \(day.gets)")
    day.simulation.changeAll { $0.loss = 0 }
    finishAll(day.simulation)
    #expect(day.simulation.violations.isEmpty)
    day.simulation.tearDown()
  }
}
