import CMsgBox
import Foundation
import MsgBox
import Testing

@Suite struct RunLoopTests {
  static let paths: [(Transport, Locator.Host, Locator.Host)] = [
    (.udp, loopback, loopback),
    (.tcp, loopback, loopback),
    (.udp, loopbackIPv6, loopbackIPv6),
    (.tcp, loopbackIPv6, loopbackIPv6),
    (.udp, .any, .ip(IPAddress(v4: 0x7f00_0002))),
    (.tcp, .any, .ip(IPAddress(v4: 0x7f00_0002))),
    (.udp, .any, loopbackIPv6),
    (.udp, .any, .name(Array("localhost".utf8))),
    (.tcp, .any, .name(Array("localhost".utf8))),
  ]

  @Test("A whole cycle, from listening to its end", arguments: paths)
  func cycle(transport: Transport, listen: Locator.Host, connect: Locator.Host) throws {
    let pair = try EchoPair(transport, listen: listen, connect: connect)
    let (client, server) = (pair.client, pair.server)
    #expect(client.send([1, 2, 3], to: pair.connection) == .ok)
    #expect(client.send([], to: pair.connection) == .ok)
    let question: [UInt8] = [9, 8]
    #expect(client.get(question, from: pair.connection) == .ok)
    try pair.run { client.count(.message) == 2 && client.count(.reply) == 1 }
    #expect(client.seen.filter { $0.kind == .message }.map(\.bytes) == [[1, 2, 3], []])
    #expect(client.first(.reply)?.bytes == question)

    #expect(client.disconnect(pair.connection) == .ok)
    client.loop.flush()
    try pair.run {
      client.count(.connectionClosed) == 1 && server.count(.connectionClosed) == 1
    }
    #expect(client.first(.connectionClosed)?.status == .endLocal)
    #expect(server.first(.connectionClosed)?.status == .endPeer)
    #expect(server.unlisten(pair.listener) == .ok)
    try pair.run { server.count(.listeningEnded) == 1 }
    #expect(
      server.seen.map(\.kind) == [
        .listening, .connectionReady, .message, .message, .request, .connectionClosed,
        .listeningEnded,
      ])
  }

  @Test("Behind many single datagrams a burst comes whole and in order")
  func burstBehindSingles() throws {
    let pair = try EchoPair(.udp)
    for round in 1...60 {
      #expect(pair.client.get([1], from: pair.connection) == .ok)
      try pair.run { pair.client.count(.reply) == round }
    }
    var options = SendOptions()
    options.isAlone = true
    let messages = (0..<50).map { [UInt8(truncatingIfNeeded: $0)] }
    for message in messages {
      let client = pair.client.loop
      let status = client.endpoint.send(
        message.span, to: pair.connection, options: options, at: client.now)
      #expect(status == .ok)
    }
    try pair.run { pair.client.count(.message) == messages.count }
    let came = pair.server.seen.filter { $0.kind == .message }.map(\.bytes)
    #expect(came == messages)
  }

  @Test("Between events the clock is looked at seldom, but once handlers are slow before each")
  func looksBetweenEvents() throws {
    let pair = try EchoPair(.udp)
    var looks: [Instant] = []
    var takes = Interval(nanoseconds: 0)
    pair.server.react = { loop, seen in
      guard seen.kind == .message else { return }
      looks.append(loop.lastLook)
      let ends = SystemClock.now + takes
      while SystemClock.now < ends {}
    }
    func distinctLooks(in messages: Int) throws -> Int {
      looks = []
      for _ in 0..<messages { #expect(pair.client.send([1], to: pair.connection) == .ok) }
      try pair.run { looks.count == messages }
      return Set(looks.suffix(messages / 2).map(\.nanoseconds)).count
    }
    _ = try distinctLooks(in: 64)
    #expect(try distinctLooks(in: 80) <= 20)
    takes = .milliseconds(2)
    #expect(try distinctLooks(in: 80) >= 38)
    takes = Interval(nanoseconds: 0)
    _ = try distinctLooks(in: 80)
    #expect(try distinctLooks(in: 80) <= 20)
  }

  @Test(
    "A message whose deadline passes in a handler before the turn sends is dropped",
    arguments: bothTransports)
  func lateBehindHandler(transport: Transport) throws {
    let pair = try EchoPair(transport)
    let client = pair.client
    client.react = { _, seen in
      guard seen.kind == .connectionSetupError else { return }
      let ends = SystemClock.now + .milliseconds(60)
      while SystemClock.now < ends {}
    }
    var options = SendOptions()
    options.deadline = .milliseconds(20)
    let status = client.loop.endpoint.send(
      [1].span, to: pair.connection, options: options, at: client.loop.now)
    #expect(status == .ok)
    _ = client.connect(Locator(transport: transport, host: .any, port: 0))
    try client.turn(0)
    #expect(client.count(.connectionSetupError) == 1)
    #expect(client.counters.dropped(.expired) == 1)
  }

  @Test("A port is free as soon as its listener has ended", arguments: [Transport.udp, .tcp])
  func listenAgain(transport: Transport) throws {
    let server = try TestLoop()
    let (listener, port) = try server.listening(transport, loopback)
    server.react = { loop, seen in
      guard seen.kind == .listeningEnded else { return }
      let locator = Locator(transport: transport, host: loopback, port: port)
      _ = loop.endpoint.listen(
        locator, options: .init(), userWords: UserWords(), at: loop.now)
    }
    #expect(server.unlisten(listener) == .ok)
    try run([server]) { server.count(.listening) == 2 || server.count(.listeningError) > 0 }
    #expect(server.count(.listeningError) == 0)
  }

  @Test("A port in use is a listening error", arguments: [Transport.udp, .tcp])
  func portInUse(transport: Transport) throws {
    let server = try TestLoop()
    let (_, port) = try server.listening(transport, loopback)
    _ = server.listen(Locator(transport: transport, host: loopback, port: port))
    try run([server]) { server.count(.listeningError) == 1 }
    #expect(server.first(.listeningError)?.status == .addressInUse)
  }

  @Test("Nobody there is a set-up error", arguments: [Transport.udp, .tcp])
  func refused(transport: Transport) throws {
    var port: UInt16 = 0
    do {
      port = try TestLoop().listening(transport, loopback).port
    }
    var options = ConnectionOptions()
    options.connectTimeout = .milliseconds(1500)
    let client = try TestLoop()
    _ = client.connect(Locator(transport: transport, host: loopback, port: port), options)
    try run([client]) { client.count(.connectionSetupError) == 1 }
    #expect(client.first(.connectionSetupError)?.status == .refused)
  }

  @Test("A name without an address is a set-up error")
  func unknownName() throws {
    let client = try TestLoop()
    _ = client.connect(
      Locator(transport: .udp, host: .name(Array("no..such.invalid".utf8)), port: 1))
    try run([client]) { client.count(.connectionSetupError) == 1 }
    #expect(client.first(.connectionSetupError)?.status == .resolve)
  }

  @Test(
    "A callback that makes the next event does not hold the loop, even while it receives",
    arguments: [Transport.udp, .tcp])
  func endlessEvents(transport: Transport) throws {
    let pair = try EchoPair(transport)
    let client = pair.client
    var turnBegan = client.loop.now
    var isHeld = false
    client.react = { loop, seen in
      guard seen.kind == .connectionSetupError || seen.kind == .message else { return }
      guard loop.now < turnBegan + .seconds(2) else {
        isHeld = true
        return
      }
      _ = loop.endpoint.connect(
        nil, options: .init(), userWords: UserWords(), at: loop.now)
    }
    #expect(client.send([1], to: pair.connection) == .ok)
    for _ in 0..<3 { #expect(client.send([2], to: pair.connection) == .ok) }
    try pair.run {
      turnBegan = client.loop.now
      return isHeld || client.count(.message) == 4
    }
    #expect(!isHeld)
  }

  @Test("A turn inside a turn is refused; a flush there is not")
  func reentrant() throws {
    let server = try TestLoop()
    var inner: Result<Int, Status>?
    server.react = { loop, _ in
      loop.flush()
      inner = loop.turn(timeout: nil) { _, _ in }
    }
    _ = try server.listening(.udp, loopback)
    #expect(inner == .failure(.reentrant))
  }

  @Test(
    "Shut down in a callback, a loop delivers nothing more and its peer hears of it",
    arguments: [
      Transport.udp, .tcp,
    ])
  func shutDown(transport: Transport) throws {
    let pair = try EchoPair(transport)
    let (client, server) = (pair.client, pair.server)
    try pair.run { server.count(.connectionReady) == 1 }
    client.react = { loop, _ in loop.shutDown() }
    for _ in 0..<5 { #expect(client.send([1], to: pair.connection) == .ok) }
    let before = client.seen.count
    let limit = SystemClock.now + .seconds(10)
    while client.seen.count == before && SystemClock.now < limit {
      try client.turn(1)
      try server.turn(1)
    }
    #expect(client.seen.count == before + 1)
    #expect(client.loop.turn(timeout: nil) { _, _ in } == .failure(.ended))
    #expect(client.loop.deadlineMilliseconds == -1)
    client.loop.flush()
    try run([server]) { server.count(.connectionClosed) == 1 }
  }

  @Test("An empty loop waits as it is told, and an action that waits makes the deadline zero")
  func waits() throws {
    let test = try TestLoop()
    #expect(test.loop.deadlineMilliseconds == -1)
    let before = SystemClock.now
    #expect(test.loop.turn(timeout: Interval(nanoseconds: 1)) { _, _ in } == .success(0))
    #expect(SystemClock.now.since(before) >= .milliseconds(1))
    _ = test.listen(Locator(transport: .udp, host: loopback, port: 0))
    #expect(test.loop.deadlineMilliseconds == 0)
    #expect(test.loop.turn(timeout: nil) { _, _ in } == .success(1))
  }

  @Test("A waker ends a wait without limit")
  func waker() throws {
    let test = try TestLoop()
    let waker = try #require(test.loop.makeWaker())
    // Not in a task: that would wait for a thread of the few that the other tests share, and this one holds.
    Thread.detachNewThread { waker.wake() }
    #expect(test.loop.turn(timeout: nil) { _, _ in } == .success(0))
    #expect(test.loop.turn(timeout: Interval(nanoseconds: 0)) { _, _ in } == .success(0))
  }

  @Test("Garbage is dropped and counted, and the next good message is served")
  func garbage() throws {
    let pair = try EchoPair(.udp)
    let raw = try UDPSocket.connect(
      to: Address(ip: IPAddress(v4: 0x7f00_0001), port: pair.port), bufferBytes: 1 << 20)
    let before = pair.server.counters.allDrops
    var random = RandomSource(seed: 7)
    for _ in 0..<300 {
      let bytes = (0..<random.below(1500)).map { _ in UInt8(truncatingIfNeeded: random.word()) }
      _ = try TCPSocket.send(bytes.span, on: raw.descriptor.rawValue)
    }
    #expect(pair.client.send([1], to: pair.connection) == .ok)
    try pair.run { pair.client.count(.message) == 1 }
    #expect(pair.server.counters.allDrops == before + 300)
  }

  @Test("A killed peer's stream is lost, after its last message", arguments: [false, true])
  func killed(withUnreadBytes: Bool) throws {
    let client = try TestLoop()
    var connection = Handle.none
    do {
      let server = try TestLoop()
      server.vanishes = true
      let (_, port) = try server.listening(.tcp, loopback)
      connection = client.connect(Locator(transport: .tcp, host: loopback, port: port))
      try run([client, server]) {
        client.count(.connectionSetup) == 1 && server.count(.connectionReady) == 1
      }
      let ready = try #require(server.first(.connectionReady))
      #expect(server.send([5], to: ready.handle) == .ok)
      server.loop.flush()
      if withUnreadBytes {
        #expect(client.send([1], to: connection) == .ok)
        client.loop.flush()
        try waitFor(.readable, server.loop.descriptor)
      }
    }
    try run([client]) { client.count(.connectionLost) == 1 }
    #expect(client.seen.map(\.kind) == [.connectionSetup, .message, .connectionLost])
    #expect(client.first(.connectionLost)?.status == .reset)
    #expect(client.send([1], to: connection) == .badHandle)
  }

  @Test("A socket whose messages use up each turn leaves the others their turn")
  func fairness() throws {
    let busy = try EchoPair(.udp)
    let server = busy.server
    let quiet = try TestLoop()
    let second = server.listen(Locator(transport: .udp, host: loopback, port: 0))
    try run([server]) { server.count(.listening) == 2 }
    let port = try #require(server.localPort(second))
    let connection = quiet.connect(Locator(transport: .udp, host: loopback, port: port))
    try run([quiet, server]) { quiet.count(.connectionSetup) == 1 }
    server.react = { loop, seen in
      let began = loop.now
      while seen.bytes.count == 1000 && loop.now.since(began) < Interval(nanoseconds: 200_000) {}
    }
    try server.turn(0)
    // More than two turns can serve, and the busy socket is ready first.
    for _ in 0..<150 {
      #expect(busy.client.send([UInt8](repeating: 1, count: 1000), to: busy.connection) == .ok)
    }
    busy.client.loop.flush()
    #expect(quiet.send([2], to: connection) == .ok)
    quiet.loop.flush()
    try server.turn(0)
    #expect(!server.seen.contains { $0.bytes == [2] })
    try server.turn(0)
    #expect(server.seen.contains { $0.bytes == [2] })
    #expect(server.seen.count { $0.bytes.count == 1000 } < 150)
  }

  @Test("More sockets than one poll tells of are all served", arguments: [Transport.udp, .tcp])
  func manySockets(transport: Transport) throws {
    let count = 300
    let (server, client) = (try TestLoop(), try TestLoop())
    let (_, port) = try server.listening(transport, loopback)
    let locator = Locator(transport: transport, host: loopback, port: port)
    let connections = (0..<count).map { _ in client.connect(locator) }
    try run([client, server]) { client.count(.connectionSetup) == count }
    for (index, connection) in connections.enumerated() {
      let message = [UInt8(truncatingIfNeeded: index), UInt8(truncatingIfNeeded: index >> 8)]
      #expect(client.send(message, to: connection) == .ok)
    }
    client.loop.flush()
    try run([client, server]) { server.count(.message) == count }
    let numbers = server.seen.filter { $0.kind == .message }.map {
      Int($0.bytes[0]) | Int($0.bytes[1]) << 8
    }
    #expect(numbers.sorted() == Array(0..<count))
    for connection in connections { #expect(client.disconnect(connection) == .ok) }
    try run([client, server]) { server.count(.connectionClosed) == count }
  }

  @Test("The log gets lines of its level and above")
  func log() throws {
    let test = try TestLoop()
    var lines: [String] = []
    test.loop.log = { level, line in
      var bytes: [UInt8] = []
      for index in line.indices { bytes.append(line[index]) }
      lines.append("\(level): \(String(decoding: bytes, as: UTF8.self))")
    }
    let (_, port) = try test.listening(.udp, loopback)
    #expect(lines == [])
    _ = test.listen(Locator(transport: .udp, host: loopback, port: port))
    try run([test]) { test.count(.listeningError) == 1 }
    #expect(
      lines == [
        "warning: listening failed, error 98",
        "warning: listening_error udp://127.0.0.1:\(port): the local address is in use, error 98",
      ])
    lines = []
    test.loop.logLevel = .debug
    let client = try TestLoop()
    _ = client.connect(Locator(transport: .udp, host: loopback, port: port))
    try run([client, test]) { test.count(.connectionReady) == 1 }
    #expect(lines.count == 1)
    #expect(lines.first?.hasPrefix("info: connection_ready udp://127.0.0.1:") == true)
    lines = []
    let stranger = try UDPSocket.connect(
      to: Address(ip: IPAddress(v4: 0x7f00_0001), port: port), bufferBytes: 4096)
    let batch = try #require(DatagramBatch())
    batch.put([1, 2, 3], at: 0, to: .unspecified)
    _ = try batch.send(0..<1, on: stranger.descriptor.rawValue, isIPv6: false, isConnected: true)
    try run([client, test]) { !lines.isEmpty }
    #expect(lines == ["debug: dropped 1: does not begin with the two bits of this protocol"])
  }
}

@Suite struct DrainClockTests {
  private func at(_ milliseconds: UInt64) -> Instant {
    Instant(nanoseconds: 1_000_000_000_000) + .milliseconds(milliseconds)
  }

  @Test("Silence is judged up to the last time that everything was empty")
  func drained() {
    var clock = DrainClock(now: at(0))
    clock.polled(at: at(100))
    clock.sawEmpty(at: at(100))
    clock.polled(at: at(200))
    #expect(clock.judged(at: at(200)) == at(100))
  }

  @Test("That everything was empty is news again after a while")
  func fresh() {
    var clock = DrainClock(now: at(0))
    clock.sawEmpty(at: at(100))
    #expect(clock.isFresh(at: at(119)))
    #expect(!clock.isFresh(at: at(120)))
  }

  @Test("A loop is behind while poll after poll leaves something to read")
  func behind() {
    var clock = DrainClock(now: at(0))
    clock.polled(at: at(1000))
    #expect(!clock.isBehind, "it slept, or was away")
    for time in [1001, 1010, 1019] as [UInt64] {
      clock.polled(at: at(time))
      #expect(!clock.isBehind, "not for 20 ms")
    }
    clock.polled(at: at(1020))
    #expect(clock.isBehind)
    clock.sawEmpty(at: at(1020))
    #expect(!clock.isBehind)
    clock.polled(at: at(5000))
    clock.polled(at: at(5019))
    #expect(!clock.isBehind)
    clock.polled(at: at(5020))
    #expect(clock.isBehind)
    clock.sawServed()
    clock.polled(at: at(6000))
    #expect(!clock.isBehind, "it slept after it had read what it expected")
  }

  @Test("A loop that was away judges nobody before it has read")
  func away() {
    var clock = DrainClock(now: at(0))
    clock.polled(at: at(60_000))
    #expect(clock.judged(at: at(60_000)) == at(0))
    clock.polled(at: at(60_010))
    #expect(clock.judged(at: at(60_010)) == at(0))
    clock.sawEmpty(at: at(60_010))
    #expect(clock.judged(at: at(60_011)) == at(60_010))
  }

  @Test("While the system cannot say what waits, nobody is judged")
  func couldNotRead() {
    var clock = DrainClock(now: at(0))
    clock.sawEmpty(at: at(10))
    for step in 2...300 {
      clock.polled(at: at(UInt64(step) * 10))
      clock.couldNotRead()
      clock.sawServed()
    }
    #expect(clock.judged(at: at(3000)) == at(10))
    #expect(!clock.isBehind)
    clock.polled(at: at(3010))
    clock.sawEmpty(at: at(3010))
    #expect(clock.judged(at: at(3010)) == at(3010))
  }

  @Test("Under a flood silence is judged a second late, but judged")
  func flood() {
    var clock = DrainClock(now: at(0))
    for step in 1...300 { clock.polled(at: at(UInt64(step) * 10)) }
    #expect(clock.judged(at: at(3000)) == at(2000))
    #expect(clock.judged(at: at(3500)) == at(0))
  }
}
