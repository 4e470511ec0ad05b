import MsgBox
import Testing

/// The async face over real sockets. A test that hangs is ended by its time limit.
@Suite("AsyncMessageBox", .timeLimit(.minutes(1)))
struct AsyncTests {
  /// A server that echoes, answers `hold...` never and everything else with itself, until it ends.
  private func serve(_ box: AsyncMessageBox) async -> [String] {
    var names: [String] = []
    for await event in box.events {
      names.append(event.name)
      switch event {
      case .message(let connection, let bytes): try? await box.send(bytes, to: connection)
      case .request(let request, let bytes) where bytes.first != UInt8(ascii: "h"):
        try? await box.answer(bytes, to: request)
      default: break
      }
    }
    return names
  }

  private func listen(
    _ box: AsyncMessageBox, _ transport: String, _ options: Options = Options()
  ) async throws -> String {
    let listener = try await box.listen(on: "\(transport)://127.0.0.1:0", options: options)
    let address = try await box.withBox { box in box.address(of: listener) }
    return try #require(address)
  }

  @Test("Peers that come and go while nobody takes events have the places of a listener, no more")
  func unheardOf() async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    var options = Options()
    options.maxConnections = 10
    let address = try await listen(server, "udp", options)
    var came = 0
    for _ in 0..<30 {
      guard let connection = try? await client.connect(to: address) else { continue }
      came += 1
      try await connection.disconnect()
    }
    #expect(came == 10)
    var ends = 0
    for await event in server.events {
      guard case .connectionClosed = event else { continue }
      ends += 1
      if ends == 10 { break }
    }
    // Heard of, they leave their places, as soon as the thread of the box has heard of that.
    var isIn = false
    for _ in 0..<1000 where !isIn { isIn = (try? await client.connect(to: address)) != nil }
    #expect(isIn)
    await client.close()
    await server.close()
  }

  @Test("Connects, asks, echoes and ends", arguments: ["udp", "tcp"])
  func cycle(_ transport: String) async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    let address = try await listen(server, transport)
    async let served = serve(server)
    let connection = try await client.connect(to: address)
    let replies = try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in UInt8(0)..<50 {
        group.addTask { try await connection.get([number]) == [number] }
      }
      return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
    }
    #expect(replies == 50)
    try await connection.send([1, 2, 3])
    var events: [String] = []
    for await event in client.events {
      events.append(event.name)
      if case .message(let from, let bytes) = event {
        #expect(from == connection.connection)
        #expect(bytes == [1, 2, 3])
        try await connection.disconnect()
      }
      if case .connectionClosed = event { break }
    }
    #expect(events == ["message", "connection_closed"])
    await #expect(throws: MessageError(.badHandle)) { try await connection.send([1]) }
    await client.close()
    await server.close()
    let names = await served
    #expect(names.first == "connection_ready")
    #expect(names.count { $0 == "request" } == 50)
  }

  @Test("What fails throws its error")
  func failures() async throws {
    let box = try AsyncMessageBox()
    await #expect(throws: MessageError(.badAddress)) { try await box.connect(to: "nonsense") }
    await #expect(throws: MessageError(.badAddress)) { try await box.listen(on: "nonsense") }
    let server = try AsyncMessageBox()
    let address = try await listen(server, "udp")
    async let served = serve(server)
    let connection = try await box.connect(to: address)
    await #expect(throws: MessageError(.timedOut)) {
      try await connection.get(Array("hold".utf8), timeout: .milliseconds(50))
    }
    async let open = connection.get(Array("hold".utf8))
    await server.close()
    do {
      _ = try await open
      Issue.record("a reply from nobody")
    } catch let error as MessageError {
      #expect(error.code == .connectionEnded || error.code == .ended || error.code == .badHandle)
    }
    await box.close()
    await #expect(throws: MessageError(.ended)) { try await box.connect(to: address) }
    await #expect(throws: MessageError(.ended)) { try await connection.get([1]) }
    _ = await served
  }

  @Test("A cancelled task gets its error at once, and the rest goes on")
  func cancellation() async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    let address = try await listen(server, "udp")
    async let served = serve(server)
    let connection = try await client.connect(to: address)
    for _ in 0..<20 {
      let task = Task { try await connection.get(Array("hold".utf8), timeout: .seconds(50)) }
      task.cancel()
      let result = await task.result
      #expect(throws: MessageError(.cancelled)) { try result.get() }
    }
    // Nobody answers there; without the cancellation this would take 10 s.
    let connecting = Task { try await client.connect(to: "udp://127.0.0.1:1") }
    connecting.cancel()
    let result = await connecting.result
    #expect(throws: MessageError(.cancelled)) { try result.get() }
    #expect(try await connection.get([7]) == [7])
    let listening = Task {
      for await _ in client.events {}
      return true
    }
    listening.cancel()
    #expect(await listening.value)
    await client.close()
    await server.close()
    _ = await served
  }

  @Test("A full queue makes senders wait, in order", arguments: ["tcp"])
  func room(_ transport: String) async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    let address = try await listen(server, transport)
    var options = Options()
    options.sendMarkMessages = 4
    let connection = try await client.connect(to: address, options: options)
    let sending = Task {
      for number in 0..<2000 { try await connection.send([UInt8(number & 0xff)]) }
    }
    var next = 0
    for await event in server.events {
      guard case .message(_, let bytes) = event else { continue }
      #expect(bytes == [UInt8(next & 0xff)])
      next += 1
      if next == 2000 { break }
    }
    try await sending.value
    #expect(next == 2000)
    await client.close()
    await server.close()
  }

  @Test("Messages that nobody takes hold their senders up, and none is lost")
  func backlog() async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    var options = Options()
    options.receiveMarkBytes = 4 << 20
    let listener = try await server.listen(on: "tcp://127.0.0.1:0", options: options)
    let found = try await server.withBox { box in box.address(of: listener) }
    let connection = try await client.connect(to: try #require(found))
    let message = [UInt8](repeating: 1, count: 1 << 20)
    let sending = Task {
      for _ in 0..<40 { try await connection.send(message, options: .reliable()) }
      try await connection.disconnect()
    }
    // Nobody takes anything until something came at the mark.
    while try await server.withBox({ box in box.statistics.messagesReceived < 4 }) {
      await Task.yield()
    }
    var (messages, marks) = (0, 0)
    for await event in server.events {
      if case .message = event { messages += 1 }
      if case .error(.listener, let error) = event, error.code == .receiveMark { marks += 1 }
      if case .connectionClosed(_, let error, _) = event {
        #expect(error.code == .closedByPeer)
        break
      }
    }
    try await sending.value
    #expect(messages == 40)
    #expect(marks >= 1)
    await client.close()
    await server.close()
  }

  @Test("Over UDP what is above the mark is dropped and counted, unless it is reliable")
  func backlogOfDatagrams() async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    var options = Options()
    options.receiveMarkMessages = 10
    let listener = try await server.listen(on: "udp://127.0.0.1:0", options: options)
    let found = try await server.withBox { box in box.address(of: listener) }
    let connection = try await client.connect(to: try #require(found))
    for _ in 0..<10 { try await connection.send(reliable: [0], channel: 1) }
    try await connection.send([1])
    while try await server.withBox({ box in box.statistics.dropped(.receiveMark) == 0 }) {
      await Task.yield()
    }
    let last = Task { try await connection.send(reliable: [2], channel: 1) }
    var messages: [UInt8] = []
    for await event in server.events {
      guard case .message(_, let bytes) = event else { continue }
      messages += bytes
      if bytes == [2] { break }
    }
    try await last.value
    #expect(messages == [UInt8](repeating: 0, count: 10) + [2])
    await client.close()
    await server.close()
  }

  @Test("A reliable send returns when the message has arrived", arguments: ["udp", "tcp"])
  func reliable(_ transport: String) async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    let address = try await listen(server, transport)
    let connection = try await client.connect(to: address)
    for number in UInt8(0)..<20 { try await connection.send(reliable: [number], channel: 1) }
    // The outcome of the program's own has the context of the program.
    try await connection.send([20], options: .reliable(channel: 1, tellingOutcomeTo: 7))
    for await event in client.events {
      guard case .delivered(let from, let context) = event else { continue }
      #expect(from == connection.connection)
      #expect(context == 7)
      break
    }
    var next = UInt8(0)
    for await event in server.events {
      guard case .message(_, let bytes) = event else { continue }
      #expect(bytes == [next])
      next += 1
      if next == 21 { break }
    }
    await #expect(throws: MessageError(.invalidArgument)) {
      try await connection.send([1], options: .init(tellsOutcome: true))
    }
    await #expect(throws: MessageError(.invalidArgument)) {
      try await connection.send(reliable: [1], deadline: .zero)
    }
    await client.close()
    await server.close()
  }

  @Test("To all and to any; each outcome of a broadcast comes with the context of the program")
  func targets() async throws {
    let server = try AsyncMessageBox()
    let listener = try await server.listen(on: "udp://127.0.0.1:0")
    let found = try await server.withBox { box in box.address(of: listener) }
    let address = try #require(found)
    await #expect(throws: MessageError(.noPeer)) { try await server.sendAny([1], from: listener) }
    var clients: [AsyncMessageBox] = []
    for _ in 0..<3 {
      let client = try AsyncMessageBox()
      _ = try await client.connect(to: address)
      clients.append(client)
    }
    var ready = 0
    for await event in server.events {
      if case .connectionReady = event { ready += 1 }
      if ready == 3 { break }
    }
    let options = MessageBox.SendOptions.reliable(tellingOutcomeTo: 9)
    #expect(try await server.broadcast([1], from: listener, options: options).reached == 3)
    var told: Set<Connection> = []
    for await event in server.events {
      guard case .delivered(let connection, 9) = event else { continue }
      told.insert(connection)
      if told.count == 3 { break }
    }
    var chosen: Set<Connection> = []
    for _ in 0..<3 { chosen.insert(try await server.sendAny([2], from: listener)) }
    #expect(chosen == told)
    for client in clients { await client.close() }
    await server.close()
  }

  @Test("A cancelled get is given up in the box too; an abort is an end")
  func cancelledGet() async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    let address = try await listen(server, "udp")
    async let served = serve(server)
    let connection = try await client.connect(to: address)
    let asking = Task { try await connection.get(Array("hold".utf8), timeout: .seconds(50)) }
    while try await client.withBox({ box in box.statistics.getsWaiting == 0 }) {
      await Task.yield()
    }
    asking.cancel()
    await #expect(throws: MessageError(.cancelled)) { try await asking.value }
    #expect(try await client.withBox { box in box.statistics.getsWaiting } == 0)
    try await connection.abort()
    for await event in client.events {
      // The cancelled get is nobody's event.
      #expect(event.name == "connection_closed")
      break
    }
    await client.close()
    await server.close()
    _ = await served
  }

  @Test("With a wait for reconnecting, connecting goes on until somebody is there")
  func reconnecting() async throws {
    let (server, client) = (try AsyncMessageBox(), try AsyncMessageBox())
    let first = try await server.listen(on: "tcp://127.0.0.1:0")
    let found = try await server.withBox { box in box.address(of: first) }
    let address = try #require(found)
    try await server.unlisten(first)
    for await event in server.events { if case .listeningEnded = event { break } }
    await #expect(throws: MessageError(.refused, systemError: 111)) {
      try await client.connect(to: address)
    }
    let connecting = Task {
      var options = Options()
      options.reconnectWait = .milliseconds(20)
      return try await client.connect(to: address, options: options)
    }
    // At least one attempt has failed when this has.
    await #expect(throws: MessageError.self) { try await client.connect(to: address) }
    _ = try await server.listen(on: address)
    let connection = try await connecting.value
    try await connection.disconnect()
    await client.close()
    await server.close()
  }

  @Test("A box that nobody refers to ends, and so do its events")
  func forgotten() async throws {
    var box: AsyncMessageBox? = try AsyncMessageBox()
    let events = try #require(box).events
    let waiting = Task {
      for await _ in events {}
      return true
    }
    box = nil
    #expect(await waiting.value)
  }
}
