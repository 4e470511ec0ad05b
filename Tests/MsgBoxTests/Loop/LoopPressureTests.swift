import CMsgBox
import MsgBox
import Testing

@Suite("A loop under pressure")
struct LoopPressureTests {
  @Test(
    "A stream that is reset while it is paused neither spins nor loses what came before",
    arguments: UInt32(0)...2)
  func resetWhilePaused(failures: UInt32) throws {
    try withFaults {
      fail(CMSGBOX_CALL_UNWATCH, with: .noMemory, times: failures)
      try resetWhilePaused()
      #expect(cmsgbox_fault_clear() == failures)
    }
  }

  private func resetWhilePaused() throws {
    var options = ConnectionOptions()
    options.receiveMarkMessages = 2
    let server = try TestLoop()
    server.react = { loop, seen in
      if seen.kind == .message { loop.endpoint.untaken(seen.handle, messages: 1, bytes: 1) }
    }
    var client: TestLoop? = try TestLoop()
    let (_, port) = try server.listening(.tcp, loopback, options)
    let up = client?.connect(Locator(transport: .tcp, host: loopback, port: port)) ?? .none
    try run([server, try #require(client)]) {
      client?.count(.connectionSetup) == 1 && server.count(.connectionReady) == 1
    }
    let down = try #require(server.first(.connectionReady)).handle
    for index in UInt8(0)..<6 {
      #expect(client?.send([index], to: up) == .ok)
      client?.loop.flush()
      if index < 3 { try run([server]) { server.count(.message) == min(Int(index) + 1, 2) } }
    }
    try run([server]) { server.count(.error) == 1 }
    // Closing with bytes unread resets the stream.
    #expect(server.send([9], to: down) == .ok)
    server.loop.flush()
    client?.vanishes = true
    client = nil
    for _ in 0..<3 { try server.turn(20) }
    let began = server.loop.now
    try server.turn(60)
    #expect(server.loop.now.since(began) >= .milliseconds(40))
    #expect(server.count(.message) == 2 && server.count(.connectionLost) == 0)
    server.react = { _, _ in }
    server.loop.endpoint.untaken(down, messages: -2, bytes: -2)
    try run([server]) { server.count(.connectionLost) == 1 }
    let bytes = server.seen.filter { $0.kind == .message }.map(\.bytes)
    #expect(bytes == (UInt8(0)..<6).map { [$0] })
  }

  @Test("What a turn had no time for is kept for the next, whole and in order")
  func backlog() throws {
    let pair = try EchoPair(.udp)
    let server = pair.server
    server.worksOnMessages(for: Interval(nanoseconds: 200_000))
    let messages = (0..<200).map { [UInt8](repeating: UInt8($0), count: 900 + $0 / 50) }
    for message in messages { #expect(pair.client.send(message, to: pair.connection) == .ok) }
    pair.client.loop.flush()
    try server.turn(0)
    #expect(server.count(.message) <= 64)
    #expect(server.loop.deadlineMilliseconds == 0)
    try run([server]) { server.count(.message) == 200 }
    #expect(server.seen.filter { $0.kind == .message }.map(\.bytes) == messages)
  }

  @Test("Answers leave while the turn that makes them goes on", arguments: [Transport.udp, .tcp])
  func bursts(_ transport: Transport) throws {
    let pair = try EchoPair(transport)
    let (client, server) = (pair.client, pair.server)
    let echo = server.react
    var early = 0
    server.react = { loop, seen in
      echo(loop, seen)
      guard seen.kind == .message, server.count(.message) == 180 else { return }
      #expect(throws: Never.self) { try client.turn(0) }
      early = client.count(.message)
    }
    let message = [UInt8](repeating: 7, count: 64)
    for _ in 0..<200 { #expect(client.send(message, to: pair.connection) == .ok) }
    client.loop.flush()
    try server.turn(100)
    #expect(server.count(.message) == 200)
    // Bursts of 32 and 64 messages.
    #expect(early >= 90 && early < 180)
    try run([client, server]) { client.count(.message) == 200 }
  }

  @Test("A listener that ends while there is a backlog takes it along")
  func backlogEnds() throws {
    let pair = try EchoPair(.udp)
    let server = pair.server
    server.worksOnMessages(for: Interval(nanoseconds: 200_000))
    for _ in 0..<200 {
      #expect(pair.client.send([UInt8](repeating: 1, count: 1000), to: pair.connection) == .ok)
    }
    pair.client.loop.flush()
    try server.turn(0)
    #expect(server.loop.deadlineMilliseconds == 0)
    let ready = try #require(server.first(.connectionReady)).handle
    #expect(server.disconnect(ready) == .ok)
    #expect(server.unlisten(pair.listener) == .ok)
    try pair.run { server.count(.listeningEnded) == 1 && pair.client.count(.connectionClosed) == 1 }
    try server.turn(0)
    #expect(server.loop.deadlineMilliseconds != 0)
  }

  @Test("A loop that cannot read as fast as datagrams come says so to the core, until it can")
  func behind() throws {
    let pair = try EchoPair(.udp)
    let server = pair.server
    var wasBehind = false
    server.react = { loop, seen in
      guard seen.kind == .message else { return }
      loop.work(for: Interval(nanoseconds: 200_000))
      wasBehind = wasBehind || loop.endpoint.isBehind
    }
    for _ in 0..<400 {
      #expect(pair.client.send([UInt8](repeating: 1, count: 1000), to: pair.connection) == .ok)
    }
    for _ in 0..<10 { pair.client.loop.flush() }
    try run([server]) { server.count(.message) == 400 }
    #expect(wasBehind)
    for _ in 0..<2 { try server.turn(1) }
    let isBehind = server.loop.endpoint.isBehind
    #expect(!isBehind)
  }

  @Test(
    "A client whose socket closes while its backlog is served takes the rest along",
    arguments: 62...66)
  func backlogOfClosed(messages: Int) throws {
    let pair = try EchoPair(.udp)
    let (client, server) = (pair.client, pair.server)
    let down = try #require(server.first(.connectionReady)).handle
    client.react = { loop, seen in
      if seen.kind == .message, client.count(.message) == 9 {
        #expect(client.disconnect(pair.connection) == .ok)
      }
      // The turn has no time for what comes later than this.
      if seen.kind == .connectionClosed { loop.work(for: .milliseconds(10)) }
    }
    for _ in 0..<messages {
      #expect(server.send([UInt8](repeating: 1, count: 1000), to: down) == .ok)
    }
    // The server's close has a datagram of its own, behind the messages. For one of these counts it
    // is all that the backlog has, and answers the close that the client has sent meanwhile, so that
    // nothing is left to do for the socket.
    for _ in 0..<10 { server.loop.flush() }
    #expect(server.disconnect(down) == .ok)
    server.loop.flush()
    try run([client]) { client.count(.connectionClosed) == 1 }
    for _ in 0..<5 { try client.turn(1) }
    try run([client, server]) { server.count(.connectionClosed) == 1 }
  }

  @Test("A loop that spins hears of what comes, sleeps after that, and wakes in time")
  func spin() throws {
    let pair = try EchoPair(.udp)
    for spin in [Interval.milliseconds(1), .milliseconds(50)] {
      pair.server.loop.spin = spin
      pair.client.loop.spin = spin
      pair.client.seen.removeAll()
      #expect(pair.client.send([1], to: pair.connection) == .ok)
      try pair.run { pair.client.count(.message) == 1 }
      let began = pair.client.loop.now
      try pair.client.turn(20)
      let waited = pair.client.loop.now.since(began)
      #expect(waited >= .milliseconds(19))
    }
    let waker = try #require(pair.client.loop.makeWaker())
    waker.wake()
    try pair.client.turn(5_000)
  }

  @Test("A turn ends in time however much there is to receive, and timers run on time")
  func boundedTurn() throws {
    let pair = try EchoPair(.udp)
    let server = pair.server
    server.worksOnMessages(for: Interval(nanoseconds: 100_000))
    // 1000 datagrams are 100 ms of work.
    for round in 1...5 {
      for _ in 0..<200 {
        #expect(pair.client.send([UInt8](repeating: 1, count: 1000), to: pair.connection) == .ok)
      }
      pair.client.loop.flush()
      let before = server.count(.message)
      try server.turn(0)
      // One batch takes longer than a turn may receive, however busy the machine is.
      #expect(server.count(.message) - before <= 64)
      try run([server]) { server.count(.message) == round * 200 }
    }
  }
}

extension TestLoop {
  /// Keeps the thread busy with each message for so long.
  fileprivate func worksOnMessages(for time: Interval) {
    react = { loop, seen in
      guard seen.kind == .message else { return }
      loop.work(for: time)
    }
  }
}

extension RunLoop {
  /// Takes the time that work of a program would take.
  fileprivate func work(for time: Interval) {
    let began = now
    while now.since(began) < time {}
  }
}
