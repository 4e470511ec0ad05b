import Foundation
import MsgBox
import Testing

/// What came to a box, in words, and the names that a test needs again.
private struct Diary {
  var lines: [String] = []
  var served: [Connection] = []
  var requests: [Request] = []
  var port: UInt16 = 0

  mutating func note(_ event: Event, in box: MessageBox) {
    switch event {
    case .listening(let listener):
      port = box.localPort(of: listener) ?? 0
      lines.append(event.name)
    case .connectionReady(let connection, _):
      served.append(connection)
      lines.append(event.name)
    case .message(_, let bytes): lines.append("\(event.name) \(String(decoding: bytes))")
    case .request(let request, let bytes):
      requests.append(request)
      lines.append("\(event.name) \(String(decoding: bytes))")
    case .reply(_, let bytes, let context):
      lines.append("\(event.name) \(context) \(String(decoding: bytes))")
    case .replyMissing(_, let error, let context):
      lines.append("\(event.name) \(context) \(error.code.name)")
    case .connectionClosed(_, let error, _), .connectionLost(_, let error, _, _),
      .connectionSetupError(_, let error, _, _), .listeningError(_, let error):
      lines.append("\(event.name) \(error.code.name)")
    default: lines.append(event.name)
    }
  }
}

/// The Swift API over real sockets; each wait has a limit.
@Suite("MessageBox")
struct MessageBoxTests {
  /// Runs a box until the diary says so.
  private func run(
    _ box: MessageBox, _ diary: inout Diary, limit: Duration = .seconds(5),
    until isDone: (Diary) -> Bool
  ) throws {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while !isDone(diary) {
      let left = clock.now.duration(to: end)
      guard left > .zero else {
        Issue.record("not in time: \(diary.lines)")
        return
      }
      try box.run(timeout: left) { diary.note($0, in: box) }
    }
  }

  @Test("The golden cycle", arguments: ["udp", "tcp"])
  func goldenCycle(_ transport: String) throws {
    let (server, client) = (try MessageBox(), try MessageBox())
    var (atServer, atClient) = (Diary(), Diary())
    let listener = try server.listen(on: "\(transport)://127.0.0.1:0")
    try run(server, &atServer) { $0.port != 0 }
    let connection = try client.connect(to: "\(transport)://127.0.0.1:\(atServer.port)")
    try client.send("hello", to: connection)
    try client.get("first", from: connection, context: 1)
    try client.get("second", from: connection, timeout: .seconds(3), context: 2)
    // Two boxes of one thread: each in turn, without waiting for the other.
    func both(until isDone: () -> Bool) throws {
      let end = ContinuousClock.now + .seconds(5)
      while !isDone() {
        guard ContinuousClock.now < end else {
          Issue.record("not in time: \(atServer.lines) \(atClient.lines)")
          return
        }
        try server.run(timeout: .milliseconds(1)) { atServer.note($0, in: server) }
        try client.run(timeout: .milliseconds(1)) { atClient.note($0, in: client) }
      }
    }
    try both { atServer.requests.count == 2 }
    for request in atServer.requests.reversed() {
      #expect(request.connection == atServer.served[0])
      try server.answer("answer", to: request)
      #expect(throws: MessageError(.badHandle)) { try server.answer("again", to: request) }
    }
    try both { atClient.lines.count == 3 }
    #expect(client.address(of: connection) == "\(transport)://127.0.0.1:\(atServer.port)")
    #expect(client.statistics(of: connection)?.messagesSent == 3)
    #expect(client.statistics(of: connection)?.messagesReceived == 2)
    try client.disconnect(connection)
    #expect(throws: MessageError(.ended)) { try client.send("late", to: connection) }
    try both { atClient.lines.count == 4 && atServer.lines.last?.contains("closed") == true }
    #expect(throws: MessageError(.badHandle)) { try client.send("late", to: connection) }
    #expect(client.statistics(of: connection) == nil)
    try server.unlisten(listener)
    try both { atServer.lines.last == "listening_ended" }
    #expect(
      atClient.lines == [
        "connection_setup", "reply 2 answer", "reply 1 answer", "connection_closed END_LOCAL",
      ])
    #expect(
      atServer.lines == [
        "listening", "connection_ready", "message hello", "request first", "request second",
        "connection_closed END_PEER", "listening_ended",
      ])
    #expect(server.statistics.connections == 0)
    #expect(server.statistics.listeners == 0)
  }

  @Test("The outcome of a bad start is an event")
  func badStarts() throws {
    let box = try MessageBox()
    var diary = Diary()
    try box.connect(to: "udp://nonsense")
    try box.listen(on: "tcp://256.0.0.1:80")
    var options = Options()
    options.heartbeat = .milliseconds(1)
    try box.connect(to: "udp://127.0.0.1:9", options: options)
    try run(box, &diary) { $0.lines.count == 3 }
    #expect(
      diary.lines.sorted() == [
        "connection_setup_error ERR_BAD_ADDRESS", "connection_setup_error ERR_INVALID_ARGUMENT",
        "listening_error ERR_BAD_ADDRESS",
      ])
  }

  @Test("A name of another box is bad here")
  func otherBox() throws {
    let (box, other) = (try MessageBox(), try MessageBox())
    let connection = try other.connect(to: "udp://127.0.0.1:9")
    #expect(throws: MessageError(.badHandle)) { try box.send("x", to: connection) }
    #expect(throws: MessageError(.badHandle)) { try box.disconnect(connection) }
    #expect(box.address(of: connection) == nil)
    #expect(box.number != other.number)
  }

  @Test("A closed box says so to every call, also when it was closed by a handler")
  func closed() throws {
    let box = try MessageBox()
    try box.connect(to: "udp://nonsense")
    try box.connect(to: "udp://nonsense")
    var events = 0
    try box.run(timeout: .seconds(5)) { _ in
      events += 1
      #expect(throws: MessageError(.reentrant)) { try box.run { _ in } }
      box.close()
    }
    #expect(events == 1)
    #expect(box.isClosed)
    #expect(throws: MessageError(.ended)) { try box.run(timeout: .zero) { _ in } }
    #expect(throws: MessageError(.ended)) { try box.listen(on: "udp://127.0.0.1:0") }
    #expect(throws: MessageError(.ended)) { try box.makeWaker() }
    #expect(box.nextDeadline == nil)
    box.close()
  }

  @Test("A waker of another thread ends the wait")
  func wake() throws {
    let box = try MessageBox()
    let waker = try box.makeWaker()
    // A task would wait for a thread of the few that the other tests share, and this one holds.
    Thread.detachNewThread { waker.wake() }
    #expect(try box.run(timeout: .seconds(20)) { _ in } == 0)
    box.close()
    waker.wake()
  }

  @Test("Contexts belong to their connection and are inherited from the listener")
  func contexts() throws {
    let box = try MessageBox()
    var diary = Diary()
    var options = Options()
    options.context = 5
    let listener = try box.listen(on: "udp://127.0.0.1:0", options: options)
    try run(box, &diary) { $0.port != 0 }
    let client = try box.connect(to: "udp://127.0.0.1:\(diary.port)")
    try run(box, &diary) { $0.lines.count == 3 }
    let served = try #require(diary.served.first)
    #expect(box.context(of: listener) == 5)
    #expect(box.context(of: served) == 5)
    #expect(box.context(of: client) == 0)
    try box.setContext(9, of: served)
    #expect(box.context(of: served) == 9)
    #expect(box.context(of: listener) == 5)
  }

  @Test("The log comes in whole lines up to its level")
  func log() throws {
    let box = try MessageBox()
    var lines: [(MessageBox.LogLevel, Int)] = []
    box.setLog(upTo: .debug) { level, line in lines.append((level, line.count)) }
    var diary = Diary()
    try box.listen(on: "udp://127.0.0.1:0")
    try run(box, &diary) { $0.port != 0 }
    box.setLog(upTo: .debug, nil)
    #expect(lines.allSatisfy { $0.1 > 0 })
  }
}
