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

  private func listen(_ box: AsyncMessageBox, _ transport: String) async throws -> String {
    let listener = try await box.listen(on: "\(transport)://127.0.0.1:0")
    let address = try await box.withBox { box in box.address(of: listener) }
    return try #require(address)
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
