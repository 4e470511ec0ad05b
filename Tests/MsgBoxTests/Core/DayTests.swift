import MsgBox
import Testing

@Suite("A server and 200 clients for a long time")
struct DayTests {
  /// Virtual minutes; MSGBOX_HOURS sets hours instead. A day takes some minutes in a debug build.
  private static let minutes = (environmentNumber("MSGBOX_HOURS") ?? 0) * 60
  private static let length = minutes > 0 ? minutes : 12

  @Test("With 10 % loss, reordering and copies nothing is lost and nothing grows")
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
      day.minute(minute, addressesChangeEvery: 0)
      let census = day.server.census
      #expect(census.connections == 200 && census.requestsOpen == 0, "minute \(minute)")
      #expect(census.queuedMessages < 20 && census.incompleteBytes < 100_000, "minute \(minute)")
    }
    day.end()
    #expect(day.echoes == day.sent && day.sent == 100 * Self.length)
    // A get has eight chances in its five seconds.
    #expect(day.replies <= day.gets && day.replies >= day.gets - 1 - day.gets / 10_000)
    day.simulation.changeAll { $0.loss = 0 }
    finishAll(day.simulation)
    #expect(day.simulation.violations.isEmpty)
    day.simulation.tearDown()
  }
}
