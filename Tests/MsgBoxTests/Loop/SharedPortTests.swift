import CMsgBox
import Foundation
import MsgBox
import Synchronization
import Testing

/// Listeners that share a port (`share_port`).
@Suite struct SharedPortTests {
  private var shared: ConnectionOptions {
    var options = ConnectionOptions()
    options.sharePort = true
    return options
  }

  /// So many loops that listen on one port.
  private func listen(
    _ count: Int, _ transport: Transport, _ host: Locator.Host = loopback
  ) throws -> (loops: [TestLoop], listeners: [Handle], port: UInt16) {
    let first = try TestLoop()
    let (listener, port) = try first.listening(transport, host, shared)
    var (loops, listeners) = ([first], [listener])
    for _ in 1..<count {
      let loop = try TestLoop()
      listeners.append(loop.listen(Locator(transport: transport, host: host, port: port), shared))
      try run([loop]) { loop.count(.listening) == 1 }
      loops.append(loop)
    }
    return (loops, listeners, port)
  }

  /// Connects clients until each of the servers has at least `least`; at most 200 of them.
  private func connect(
    _ servers: [TestLoop], to locator: Locator, least: Int
  ) throws -> TestLoop {
    let client = try TestLoop()
    var count = 0
    while count < 200, servers.contains(where: { $0.count(.connectionReady) < least }) {
      #expect(client.connect(locator) != .none)
      count += 1
      try run([client] + servers) { client.count(.connectionSetup) == count }
      let all = count
      try run([client] + servers) {
        servers.reduce(0) { $0 + $1.count(.connectionReady) } == all
      }
    }
    return client
  }

  @Test(
    "Clients spread over the boxes of a port, and each stays with its own",
    arguments: [Transport.udp, .tcp], [loopback, Locator.Host.any])
  func spread(transport: Transport, host: Locator.Host) throws {
    let (servers, _, port) = try listen(3, transport, host)
    let locator = Locator(transport: transport, host: loopback, port: port)
    let client = try connect(servers, to: locator, least: 2)
    let setUp = client.seen.filter { $0.kind == .connectionSetup }
    for (index, seen) in setUp.enumerated() {
      #expect(client.send([UInt8(index)], to: seen.handle) == .ok)
    }
    try run([client] + servers) {
      servers.reduce(0) { $0 + $1.count(.message) } == setUp.count
    }
    for server in servers {
      #expect(server.count(.connectionReady) >= 2)
      #expect(server.count(.message) == server.count(.connectionReady))
      #expect(server.counters.allDrops == 0)
    }
  }

  @Test("A client that changes its port reaches the same box, also after others have left")
  func steering() throws {
    var (servers, _, port) = try listen(4, .udp)
    let batch = try #require(DatagramBatch())
    var sessions: [(id: UInt64, server: TestLoop)] = []
    func open(until isDone: () -> Bool) throws {
      while sessions.count < 200, !isDone() {
        let server = try self.open(UInt64(sessions.count + 1), servers, port, batch)
        sessions.append(server)
      }
    }
    func leave() {
      let leaver = servers.removeFirst()
      leaver.loop.shutDown()
      sessions.removeAll { $0.server === leaver }
    }
    try open { servers.allSatisfy { $0.count(.connectionReady) >= 2 } }
    try expectSteered(sessions, servers, port, batch)
    // The first leaves: the kernel moves the last into its place.
    leave()
    try expectSteered(sessions, servers, port, batch)
    leave()
    try expectSteered(sessions, servers, port, batch)
    let joiner = try TestLoop()
    _ = joiner.listen(Locator(transport: .udp, host: loopback, port: port), shared)
    try run([joiner]) { joiner.count(.listening) == 1 }
    #expect(joiner.steering == 1)
    servers.append(joiner)
    try open { joiner.count(.connectionReady) >= 2 }
    try expectSteered(sessions, servers, port, batch)
  }

  /// Shakes hands as a client without a loop, which nobody hears of again.
  private func open(
    _ own: UInt64, _ servers: [TestLoop], _ port: UInt16, _ batch: DatagramBatch
  ) throws -> (id: UInt64, server: TestLoop) {
    let remote = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
    let path = try UDPSocket.connect(to: remote, bufferBytes: 65536)
    try send(RawPacket.hello(own: own), on: path.descriptor.rawValue, batch)
    var id: UInt64?
    try run(servers) {
      guard (try? batch.receive(from: path.descriptor.rawValue)) == 1 else { return false }
      id = RawPacket.number(batch.receivedBytes(0), at: 16, count: 8)
      return id != nil
    }
    let session = try #require(id)
    let before = servers.map { $0.count(.connectionReady) }
    try send(RawPacket.heartbeat(session), on: path.descriptor.rawValue, batch)
    var server: TestLoop?
    try run(servers) {
      server = servers.indices.first { servers[$0].count(.connectionReady) > before[$0] }
        .map { servers[$0] }
      return server != nil
    }
    let owner = try #require(server)
    #expect(UInt8(session >> 56) == owner.steering)
    return (session, owner)
  }

  private func send(_ bytes: [UInt8], on descriptor: Int32, _ batch: DatagramBatch) throws {
    batch.put(bytes, at: 0, to: .unspecified)
    #expect(try batch.send(0..<1, on: descriptor, isIPv6: false, isConnected: true) == 1)
  }

  /// Sends for each session from other ports: its box alone hears of it, and sees that the path is
  /// another.
  private func expectSteered(
    _ sessions: [(id: UInt64, server: TestLoop)], _ servers: [TestLoop], _ port: UInt16,
    _ batch: DatagramBatch
  ) throws {
    let remote = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
    let before = servers.map { $0.counters.dropped(.wrongPath) }
    let strange = servers.map { $0.counters.dropped(.unknownSession) }
    for session in sessions {
      for _ in 0..<5 {
        let path = try UDPSocket.connect(to: remote, bufferBytes: 65536)
        try send(RawPacket.heartbeat(session.id), on: path.descriptor.rawValue, batch)
      }
    }
    let expected = servers.map { server in
      UInt64(5 * sessions.count { $0.server === server })
    }
    func grown() -> [UInt64] {
      servers.indices.map { servers[$0].counters.dropped(.wrongPath) - before[$0] }
    }
    try run(servers) { grown().reduce(0, +) == UInt64(5 * sessions.count) }
    #expect(grown() == expected)
    #expect(servers.map { $0.counters.dropped(.unknownSession) } == strange)
  }

  @Test("A hello with a cookie reaches the box that gave it, from whatever port")
  func cookies() throws {
    let (servers, _, port) = try listen(3, .udp)
    let batch = try #require(DatagramBatch())
    let remote = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
    // Fills more than half of the room for hellos of one box: that of this path's addresses.
    let path = try UDPSocket.connect(to: remote, bufferBytes: 1 << 20)
    var own: UInt64 = 0
    func kept() -> Int { servers.reduce(0) { $0 + $1.loop.endpoint.census.pendingHellos } }
    while own < 2049 {
      for _ in 0..<64 where own < 2049 {
        own += 1
        try send(RawPacket.hello(own: own), on: path.descriptor.rawValue, batch)
      }
      let all = Int(own)
      try run(servers) { kept() == all }
      while (try? batch.receive(from: path.descriptor.rawValue)) ?? 0 > 0 {}
    }
    let crowded = try #require(servers.first { $0.loop.endpoint.census.pendingHellos > 0 })
    try send(RawPacket.hello(own: 5000), on: path.descriptor.rawValue, batch)
    let cookie = try answer(path.descriptor.rawValue, servers, batch)
    #expect(cookie.kind == .cookie && cookie.bytes[16] == crowded.steering)
    // From other ports it is no good, but it comes to the same box: any other would accept.
    for _ in 0..<20 {
      let other = try UDPSocket.connect(to: remote, bufferBytes: 65536)
      let hello = RawPacket.hello(own: 5000, cookie: cookie.cookie)
      try send(hello, on: other.descriptor.rawValue, batch)
      let again = try answer(other.descriptor.rawValue, servers, batch)
      #expect(again.kind == .cookie && again.bytes[16] == crowded.steering)
    }
    try send(
      RawPacket.hello(own: 5000, cookie: cookie.cookie), on: path.descriptor.rawValue, batch)
    #expect(try answer(path.descriptor.rawValue, servers, batch).kind == .accept)
    // A client knows the way.
    let client = try connect(
      servers, to: Locator(transport: .udp, host: loopback, port: port), least: 1)
    #expect(client.count(.connectionSetupError) == 0)
  }

  /// The first datagram that comes to a socket while the servers run.
  private func answer(
    _ descriptor: Int32, _ servers: [TestLoop], _ batch: DatagramBatch
  ) throws -> Datagram {
    try run(servers) { ((try? batch.receive(from: descriptor)) ?? 0) > 0 }
    return Datagram(
      from: .unspecified, to: .unspecified, bytes: batch.receivedDatagrams(0)[0])
  }

  @Test("On a shared port a box answers only to who could be its own")
  func answers() throws {
    let (servers, _, port) = try listen(1, .udp)
    let server = servers[0]
    let remote = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
    let path = try UDPSocket.connect(to: remote, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    for byte in [UInt8(9), 0, server.steering] {
      batch.put([0xc8, 3, 0, 1, 0, 0, 0, 0, byte, 0, 0, 0, 0, 0, 0, 5], at: 0, to: remote)
      _ = try batch.send(0..<1, on: path.descriptor.rawValue, isIPv6: false, isConnected: true)
    }
    try run([server]) { server.counters.dropped(.unknownSession) == 3 }
    try server.turn(0)
    #expect(server.counters.datagramsSent == 1)
    try waitFor(.readable, path.descriptor.rawValue)
    #expect(try batch.receive(from: path.descriptor.rawValue) == 1)
    #expect(batch.receivedBytes(0)[8] == server.steering)
  }

  @Test("Who does not share a port has it alone", arguments: [Transport.udp, .tcp])
  func alone(transport: Transport) throws {
    let (loops, _, port) = try listen(2, transport)
    let locator = Locator(transport: transport, host: loopback, port: port)
    let other = try TestLoop()
    _ = other.listen(locator)
    try run([other]) { other.count(.listeningError) == 1 }
    #expect(other.first(.listeningError)?.status == .addressInUse)
    #expect(loops.count == 2)

    let single = try TestLoop()
    let (_, singlePort) = try single.listening(transport, loopback)
    _ = other.listen(Locator(transport: transport, host: loopback, port: singlePort), shared)
    try run([other]) { other.count(.listeningError) == 2 }
  }

  @Test("A UDP port takes 255 sockets, and a place that was left again")
  func limit() throws {
    let first = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 4096, sharesPort: true)
    #expect(first.steering == 1)
    let port = first.local.port
    func another() throws -> OpenSocket {
      try UDPSocket.bind(host: loopback, port: port, bufferBytes: 4096, sharesPort: true)
    }
    var more: [Kept] = []
    for byte in UInt8(2)...255 {
      let kept = Kept(try another())
      #expect(kept.steering == byte)
      more.append(kept)
    }
    #expect(throws: Errno.addressInUse) { _ = try another() }
    more.remove(at: 7)
    let again = try another()
    #expect(again.steering == 9)
    #expect(throws: Errno.addressInUse) { _ = try another() }
    more.removeAll()
    #expect(try another().steering == 2)
  }

  @Test("Threads come to a port and leave it at once, and each has bytes of its own")
  func threads() async throws {
    let first = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 4096, sharesPort: true)
    let port = first.local.port
    let failures = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<4 { group.addTask { Self.comeAndGo(port) } }
      return await group.reduce(0, +)
    }
    #expect(failures == 0)
    let last = try UDPSocket.bind(host: loopback, port: port, bufferBytes: 4096, sharesPort: true)
    #expect(first.steering == 1 && last.steering == 2)
  }

  /// Has up to three sockets of a port at a time; how often that went wrong.
  private static func comeAndGo(_ port: UInt16) -> Int {
    var failures = 0
    var kept: [Kept] = []
    for _ in 0..<100 {
      do {
        let one = Kept(
          try UDPSocket.bind(host: loopback, port: port, bufferBytes: 4096, sharesPort: true))
        if one.steering < 2 || kept.contains(where: { $0.steering == one.steering }) {
          failures += 1
        }
        kept.append(one)
        if kept.count > 3 { kept.removeFirst() }
      } catch {
        failures += 1
      }
    }
    return failures
  }

  @Test(
    "Loops of several threads share a port, and each serves those who come to it",
    arguments: [Transport.udp, .tcp])
  func loopsOfThreads(transport: Transport) throws {
    let threads = 4
    let first = try TestLoop()
    let (_, port) = try first.listening(transport, loopback, shared)
    let locator = Locator(transport: transport, host: loopback, port: port)
    let (steps, served, ended) = (Tally(), Tally(), Tally())
    let options = shared
    for _ in 0..<threads {
      Thread.detachNewThread {
        served.add((try? Self.serveAndAsk(locator, options, steps, of: threads)) ?? 0)
        ended.add(1)
      }
    }
    // Who has chosen the port leaves it before the first client comes.
    try run([first]) { steps.count >= threads }
    first.loop.shutDown()
    steps.add(1)
    let idle = try TestLoop()
    try run([idle]) { ended.count == threads }
    #expect(served.count == threads * 5)
  }

  /// Listens in its own thread, sends to whoever serves the port, and leaves with the others.
  private static func serveAndAsk(
    _ locator: Locator, _ options: ConnectionOptions, _ steps: Tally, of threads: Int
  ) throws -> Int {
    let (server, client) = (try TestLoop(), try TestLoop())
    server.react = { loop, seen in
      guard seen.kind == .message else { return }
      _ = loop.endpoint.send(seen.bytes.span, to: seen.handle, at: loop.now)
    }
    client.react = { loop, seen in
      guard seen.kind == .connectionSetup else { return }
      _ = loop.endpoint.send([1, 2].span, to: seen.handle, at: loop.now)
    }
    _ = server.listen(locator, options)
    try run([server]) { server.count(.listening) == 1 }
    steps.add(1)
    try run([server, client]) { steps.count > threads }
    for _ in 0..<5 { _ = client.connect(locator, options) }
    try run([server, client]) { client.count(.message) == 5 }
    steps.add(1)
    try run([server, client]) { steps.count > 2 * threads }
    return server.count(.connectionReady)
  }

  @Test("A process without a shared port closes sockets as ever")
  func unshared() throws {
    let (loops, listeners, _) = try listen(1, .udp)
    #expect(loops[0].unlisten(listeners[0]) == .ok)
    try run(loops) { loops[0].count(.listeningEnded) == 1 }
    let test = try TestLoop()
    _ = try test.listening(.udp, loopback)
    #expect(test.steering == 0)
  }
}

/// An open socket that an array can hold.
private final class Kept {
  let socket: OpenSocket
  init(_ socket: consuming OpenSocket) { self.socket = socket }
  var steering: UInt8 { socket.steering }
}

/// Counts what several threads do.
private final class Tally: Sendable {
  private let sum = Atomic(0)
  var count: Int { sum.load(ordering: .acquiring) }
  func add(_ number: Int) { sum.add(number, ordering: .acquiringAndReleasing) }
}
