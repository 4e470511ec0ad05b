import CMsgBox
import MsgBox
import Testing

@Suite("A server and 200 clients for a long time")
struct DayTests {
  /// MSGBOX_HOURS sets virtual hours; a day takes some minutes in a debug build. Then this runs
  /// alone, so that the memory of the process is its own.
  private static let hours = environmentNumber("MSGBOX_HOURS") ?? 0
  private static let minutes = hours > 0 ? hours * 60 : 20

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
    let course = live(day)
    holdsNothingMore(course)
    day.end()
    everythingArrives(day)
    connectionsStay(day)
    if Self.hours > 0 { print(report(day, course)) }
    day.simulation.changeAll { $0.loss = 0 }
    finishAll(day.simulation)
    #expect(day.simulation.violations.isEmpty)
    day.simulation.tearDown()
  }

  @Test("The inventory has each number of the census")
  func inventory() {
    let simulation = Simulation()
    let census = simulation.addNode("node").census
    let labels = Mirror(reflecting: census).children.compactMap(\.label)
    #expect(labels == Inventory.fields.map(\.name))
    simulation.tearDown()
  }

  // MARK: The day

  /// What was held in each twentieth of the time, and the heap after each hour.
  private struct Course {
    var parts: [(server: InventoryRange, clients: InventoryRange)] = []
    var heaps: [Int] = []
  }

  private func live(_ day: Day) -> Course {
    var course = Course()
    for minute in 0..<Self.minutes {
      if minute % (Self.minutes / 20) == 0 { day.lookAfresh() }
      day.minute(minute, addressesChangeEvery: 5)
      #expect(day.server.census.requestsOpen == 0, "minute \(minute)")
      if (minute + 1) % (Self.minutes / 20) == 0 {
        course.parts.append((day.serverHolds, day.clientsHold))
      }
      if (minute + 1) % 60 == 0 { course.heaps.append(Int(cmsgbox_fault_heap())) }
    }
    return course
  }

  // MARK: What is checked

  /// The most of each kind at a moment, of the server and of the 200 clients together. A hundred
  /// talk once a minute, 40 change their addresses, and one closes its connection.
  private static let bounds: [(name: String, server: Int, clients: Int)] = [
    // A client that has closed right after a change of its address is missed after 30 s.
    ("connections", 204, 200),
    ("listeners", 1, 0),
    // They are confirmed within some round trips.
    ("pendingHellos", 2, 0),
    // They stay for 30 s.
    ("tombstones", 3, 3),
    // Decided after 1 to 5 s.
    ("pathChanges", 15, 0),
    // Five seconds at most, as long as what asks has no way to the server.
    ("getsWaiting", 0, 15),
    ("requestsOpen", 0, 0),
    // What is under way to an address that is no more waits until the session has moved.
    ("queuedMessages", 40, 40),
    ("queuedBytes", 50_000, 50_000),
    ("incompleteBytes", 50_000, 50_000),
    ("outboxMessages", 40, 40),
    // Met within two rounds of five seconds.
    ("ghosts", 3, 3),
  ]

  private func holdsNothingMore(_ course: Course) {
    #expect(Self.bounds.map(\.name) == Inventory.names)
    for (number, part) in course.parts.enumerated() {
      #expect(part.server.most.exceeding(Self.bounds.map(\.server)) == [], "part \(number)")
      #expect(part.clients.most.exceeding(Self.bounds.map(\.clients)) == [], "part \(number)")
    }
    neverLeavesMore(course)
    heapStays(course)
  }

  /// At some moment of each part hardly anything is under way: what is held then has been left. Of
  /// the few moments of a short part none may be quite so.
  private func neverLeavesMore(_ course: Course) {
    let chance = Self.hours > 0 ? 0 : 2
    let (early, late) = (course.parts[1], course.parts[19])
    #expect(late.server.least.exceeding(early.server.least.numbers.map { $0 + chance }) == [])
    #expect(late.clients.least.exceeding(early.clients.least.numbers.map { $0 + chance }) == [])
  }

  /// What fills slowly and has its bounds: ranges of numbers between which one was lost for good, 256
  /// of each connection, and buffers that are kept for the next large messages, 64 of each box. Some
  /// 50 bytes for each message are more than this after a day; `make soak` finds less.
  private func heapStays(_ course: Course) {
    guard let first = course.heaps.first, let last = course.heaps.last else { return }
    #expect(last - first < 12 << 20, "from \(first) to \(last) bytes")
  }

  private func everythingArrives(_ day: Day) {
    #expect(day.echoes == day.sent)
    #expect(day.server.log.count(.connectionReady) == day.setups)
    // One that its client gives up before it is set up is counted as well.
    #expect(day.setups <= 200 + day.losses + day.departures)
    #expect(day.setups >= 200 + day.departures)
    // A get has eight chances in its five seconds, less while its session moves.
    let missing = day.gets - day.replies
    #expect(missing >= 0 && missing <= 2 + day.gets / 100, "of \(day.gets)")
  }

  private func connectionsStay(_ day: Day) {
    // An idle client beats twice or three times before it is given up, and what proves its new
    // address may be lost each time.
    #expect(day.losses <= 2 + day.addressChanges / 500, "\(day.losses) of \(day.addressChanges)")
    #expect(day.idleThroughout >= day.idleCount - day.losses)
    // At most ten seconds lie between two of them, and more than eight.
    let beats = UInt64(Self.minutes) * 60 / 10
    #expect(day.idleBeats.lowerBound >= beats - 1 && day.idleBeats.upperBound < beats * 5 / 4)
  }

  // MARK: The report

  private func report(_ day: Day, _ course: Course) -> String {
    let network = day.simulation
    let (early, late) = (course.parts[1], course.parts[19])
    let heaps = [course.heaps.first ?? 0, course.heaps.last ?? 0].map { "\($0 >> 10) KiB" }
    return """
      soak: \(Self.minutes / 60) virtual hours with 200 clients; \
      \(day.echoes) messages delivered each way; \
      \(day.replies) gets answered, \(day.gets - day.replies) missing; \
      \(day.losses) connections lost, \(day.departures) closed and opened again, \
      \(day.idleThroughout) of \(day.idleCount) idle ones open throughout; \
      \(day.addressChanges) address changes; \
      \(network.datagramsLost) of \(network.datagramsSent) datagrams dropped; \
      at most in the second and the last twentieth: \
      server (\(early.server.most)) and (\(late.server.most)), \
      clients (\(early.clients.most)) and (\(late.clients.most)); \
      heap after the first and the last hour: \(heaps.joined(separator: ", "))
      """
  }
}
