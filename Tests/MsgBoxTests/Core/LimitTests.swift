import MsgBox
import Testing

@Suite("Limits of an endpoint", .transitions)
struct LimitTests {
  private let simulation = Simulation(seed: 17)

  private func server(_ change: (inout EndpointConfiguration) -> Void) -> Node {
    var configuration = EndpointConfiguration()
    change(&configuration)
    return simulation.addNode("server", configuration: configuration)
  }

  @Test("Above the limit of tombstones the oldest is forgotten, whoever closed")
  func tombstones() throws {
    let server = server { $0.maxTombstones = 5 }
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let address = server.address(of: listener)
    let stranger = simulation.addStranger(at: RawServer.strangerAddress(1))
    let sessions = try (UInt64(1)...20).map {
      try #require(stranger.shakeHands(with: address, own: $0, in: simulation))
    }
    let handles = server.log.all(.connectionReady).map(\.handle)
    for index in 0..<20 {
      if index % 2 == 0 {
        #expect(server.disconnect(handles[index]) == .ok)
      } else {
        stranger.send(RawPacket.close(sessions[index]), to: address)
      }
      simulation.run(for: .milliseconds(20))
      #expect(server.census.tombstones <= 5)
    }
    #expect(server.log.count(.connectionClosed) == 20)
    simulation.run(for: .seconds(1))
    stranger.forget()
    for session in sessions { stranger.send(RawPacket.heartbeat(session), to: address) }
    simulation.run(for: .milliseconds(50))
    #expect(server.dropped(.tombstone) == 5 && server.dropped(.unknownSession) == 15)
    finishAll(simulation)
  }

  @Test("Requests above the limit of open ones are dropped and counted", arguments: bothTransports)
  func openRequests(transport: Transport) throws {
    let server = server { $0.maxOpenRequests = 3 }
    let listener = server.listen(transport)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    let handle = client.connect(transport, to: server.address(of: listener))
    for context in UInt(1)...10 {
      #expect(client.get("", from: handle, context: context) == .ok)
    }
    _ = try #require(server.wait(for: .request, count: 3))
    simulation.run(for: .milliseconds(100))
    #expect(server.log.count(.request) == 3 && server.dropped(.requestsFull) == 7)
    let request = try #require(server.log.first(.request)).request
    #expect(server.answer("", to: request) == .ok)
    #expect(client.get("", from: handle, context: 11) == .ok)
    simulation.run(for: .milliseconds(100))
    #expect(server.log.count(.request) == 4)
    _ = try #require(client.wait(for: .replyMissing, count: 10))
    finishAll(simulation)
  }

  @Test("Streams that have not said hello take no place of a listener's connections")
  func silentStreams() throws {
    let server = server { _ in }
    var options = ConnectionOptions()
    options.maxConnections = 1
    let listener = server.listen(.tcp, options: options)
    _ = try #require(server.wait(for: .listening))
    let host = simulation.addNode("host")
    let silent = try (0..<3).map { _ in
      try #require(RawStream(from: host, to: server.address(of: listener)))
    }
    let first = try #require(RawStream(from: host, to: server.address(of: listener)))
    #expect(first.shakeHands())
    #expect(!silent[0].shakeHands(own: 78))
    #expect(server.dropped(.connectionsFull) == 1)
    first.close()
    #expect(server.wait(for: .connectionLost) != nil)
    #expect(silent[1].shakeHands(own: 79))
    for stream in silent { stream.close() }
    finishAll(simulation)
  }

  @Test("Of too many streams that have not said hello the oldest goes")
  func awaitingStreams() throws {
    let server = server { $0.maxPendingHellos = 2 }
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let host = simulation.addNode("host")
    let streams = try (0..<3).map { _ in
      try #require(RawStream(from: host, to: server.address(of: listener)))
    }
    simulation.run(for: .milliseconds(100))
    #expect(server.dropped(.pendingFull) == 1)
    #expect(streams[0].end != nil && streams[1].end == nil && streams[2].end == nil)
    #expect(streams[2].shakeHands())
    let next = try #require(RawStream(from: host, to: server.address(of: listener)))
    #expect(next.shakeHands(own: 78))
    for stream in streams + [next] { stream.close() }
    finishAll(simulation)
  }

  @Test("For want of descriptors a listener's oldest stream without a hello goes, or another's")
  func endAwaiting() throws {
    let server = server { _ in }
    let listeners = (0..<3).map { _ in server.listen(.tcp) }
    _ = try #require(server.wait(for: .listening, count: 3))
    let host = simulation.addNode("host")
    let streams = try [1, 0, 0, 0, 1].map { listener in
      try #require(RawStream(from: host, to: server.address(of: listeners[listener])))
    }
    #expect(streams[4].shakeHands())
    func endAwaiting(at listener: Int) throws -> [Bool] {
      let socket = try #require(server.listeningSocket(at: server.address(of: listeners[listener])))
      server.enter { _ = server.endpoint.endAwaiting(at: socket.id) }
      simulation.run(for: .milliseconds(50))
      return streams.map { $0.end != nil }
    }
    #expect(try endAwaiting(at: 2) == [false, true, false, false, false])
    #expect(try endAwaiting(at: 1) == [true, true, false, false, false])
    #expect(try endAwaiting(at: 1) == [true, true, true, false, false])
    #expect(server.unlisten(listeners[0]) == .ok)
    #expect(try endAwaiting(at: 1) == [true, true, true, true, false])
    #expect(server.dropped(.pendingFull) == 3, "none waits any more")
    for stream in streams { stream.close() }
    finishAll(simulation)
  }

  /// A listener with room for one, who is there: another host, where it can connect to, and his stream.
  private func fill(_ server: Node) throws -> (host: Node, address: Address, first: RawStream) {
    var options = ConnectionOptions()
    options.maxConnections = 1
    let listener = server.listen(.tcp, options: options)
    _ = try #require(server.wait(for: .listening))
    let (host, address) = (simulation.addNode("host"), server.address(of: listener))
    let first = try #require(RawStream(from: host, to: address))
    #expect(first.shakeHands())
    return (host, address, first)
  }

  @Test("Of streams that are refused only the last ones wait for their peer to close them")
  func refusedStreams() throws {
    let server = server { $0.maxRefusedStreams = 5 }
    let (host, address, first) = try fill(server)
    func refuse(_ count: Int) throws -> [RawStream] {
      try (0..<count).map { _ in
        let stream = try #require(RawStream(from: host, to: address))
        stream.send(RawPacket.frame(RawPacket.hello(own: 78)))
        simulation.run(for: .milliseconds(50))
        #expect(stream.frames.last?[1] == 4)
        return stream
      }
    }
    let refused = try refuse(12)
    #expect(server.openSockets == 2 + 5 && server.dropped(.connectionsFull) == 12)
    // Whoever gets the place of one that has gone is none of them.
    refused[11].close()
    simulation.run(for: .milliseconds(50))
    let silent = try #require(RawStream(from: host, to: address))
    let second = try #require(RawStream(from: host, to: address))
    first.close()
    simulation.run(for: .milliseconds(50))
    #expect(second.shakeHands(own: 79))
    let others = try refuse(5)
    simulation.run(for: .milliseconds(50))
    #expect(second.end == nil && server.openSockets == 3 + 5)
    simulation.run(for: .seconds(2))
    #expect(second.end == nil && server.openSockets == 3)
    for stream in refused + others + [silent, second] { stream.close() }
    finishAll(simulation)
  }

  @Test("A refused stream that must not wait is reset before its close is written")
  func refusedAtOnce() throws {
    let server = server { $0.maxRefusedStreams = 0 }
    let (host, address, first) = try fill(server)
    let second = try #require(RawStream(from: host, to: address))
    #expect(!second.shakeHands(own: 78))
    #expect(second.end == .reset(systemError: 104) && second.frames.isEmpty)
    #expect(server.openSockets == 2)
    for stream in [first, second] { stream.close() }
    finishAll(simulation)
  }

  @Test("A flood of handshakes at one listener keeps nobody from another")
  func floodElsewhere() throws {
    let server = server { $0.maxPendingHellos = 2 }
    let listeners = [
      server.listen(.udp), server.listen(.udp), server.listen(.tcp), server.listen(.tcp),
    ]
    _ = try #require(server.wait(for: .listening, count: 4))
    let stranger = simulation.addStranger(at: RawServer.strangerAddress(1))
    for own in UInt64(1)...9 {
      stranger.send(RawPacket.hello(own: own), to: server.address(of: listeners[0]))
    }
    let host = simulation.addNode("host")
    let silent = try (0..<9).map { _ in
      try #require(RawStream(from: host, to: server.address(of: listeners[2])))
    }
    simulation.run(for: .milliseconds(100))
    let client = simulation.addNode("client")
    _ = client.connect(.udp, to: server.address(of: listeners[1]))
    _ = client.connect(.tcp, to: server.address(of: listeners[3]))
    #expect(client.wait(for: .connectionSetup, count: 2, within: .seconds(1)) != nil)
    for stream in silent { stream.close() }
    finishAll(simulation)
  }

  @Test("A stream that has not said hello sends nothing larger than one")
  func largeFrameBeforeHello() throws {
    let server = server { _ in }
    let listener = server.listen(.tcp)
    _ = try #require(server.wait(for: .listening))
    let host = simulation.addNode("host")
    let stream = try #require(RawStream(from: host, to: server.address(of: listener)))
    stream.send(RawPacket.u32(1000))
    simulation.run(for: .milliseconds(100))
    #expect(stream.end != nil && server.dropped(.malformed) == 1)
    stream.close()
    finishAll(simulation)
  }

  @Test("An implicit peer above the limit of connections is dropped and counted")
  func implicitPeers() throws {
    var options = ConnectionOptions()
    options.implicitPeers = true
    options.maxConnections = 1
    let raw = try RawServer(options: options)
    raw.send(RawPacket.oneWay(nil, "first"))
    let other = raw.simulation.addStranger(at: RawServer.strangerAddress(2))
    other.send(RawPacket.oneWay(nil, "second"), to: raw.address)
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.all(.message).map(\.text) == ["first"])
    #expect(raw.server.dropped(.connectionsFull) == 1)
    finishAll(raw.simulation)
  }

  @Test("A slot whose generations are used up rests until those of all others are")
  func generations() throws {
    var slab = Slab<Number>(maxSlots: 3, maxGeneration: 8)
    let first = slab.insert(Number())
    let kept = try #require(first)
    var given: [[Int]] = []
    for _ in 0..<28 {
      let hasRoom = slab.hasRoom
      #expect(hasRoom)
      let next = slab.insert(Number())
      let slot = try #require(next)
      given.append([slot, Int(slab.generation(slot))])
      slab.remove(slot)
      let isThere = slab.contains(slot, generation: UInt32(given[given.count - 1][1]))
      #expect(!isThere)
    }
    #expect(Set(given.prefix(14)).count == 14, "each of two slots has seven generations")
    #expect(Array(given.prefix(14)) == Array(given.suffix(14)))
    let isKept = slab.count == 1 && slab.contains(kept, generation: 1)
    #expect(isKept)
  }

  @Test("A million generations are used before a slot rests")
  func manyGenerations() {
    var slab = Slab<Number>(maxSlots: 2)
    var count = 0
    while let slot = slab.insert(Number()), slot == 0 {
      slab.remove(slot)
      count += 1
    }
    #expect(count == Int(Handle.maxGeneration) - 1)
  }

  @Test("A reserved slot is nobody else's, and may use up its generations without a record")
  func reservedSlots() throws {
    var slab = Slab<Number>(maxSlots: 2, maxGeneration: 8)
    let first = slab.reserve()
    let reserved = try #require(first)
    #expect(reserved.slot == 0 && reserved.generation == 1)
    let other = slab.insert(Number())
    #expect(other == 1)
    let count = slab.count
    #expect(count == 1)
    let isFull = slab.insert(Number()) == nil
    #expect(isFull)
    let (hasRoom, hasMore) = (slab.hasRoom(for: 1), slab.hasRoom(for: 2))
    #expect(hasRoom && !hasMore)
    for generation in UInt32(1)...7 {
      let isThere = slab.contains(0, generation: generation)
      #expect(!isThere)
    }
    slab.occupy(0, generation: 5, Number())
    let isThere = slab.contains(0, generation: 5)
    #expect(isThere)
    slab.remove(0)
    let again = slab.reserve()
    #expect(again?.slot == 0 && again?.generation == 6)
    slab.retire(0)
    let anew = slab.reserve()
    #expect(anew?.slot == 0 && anew?.generation == 1)
  }

  private struct Number: Vacant {
    static func vacant() -> Number { Number() }
  }

  // MARK: Implicit peers' reply ids

  @Test("The reply ids of gets that timed out rest before they are used again")
  func quarantine() throws {
    var options = ConnectionOptions()
    options.implicitPeers = true
    options.getTimeout = .milliseconds(10)
    options.sendMarkMessages = 1_000_000
    options.sendMarkBytes = 1 << 30
    let raw = try RawServer(options: options)
    raw.send(RawPacket.oneWay(nil, "hi"))
    let handle = try #require(raw.server.log.last(.message)).handle
    raw.server.log.isCountingOnly = true
    for context in UInt(1)...65_535 {
      let status = raw.server.get([], from: handle, context: context)
      if status != .ok { Issue.record("the get \(context) gives \(status)") }
    }
    raw.simulation.run(for: .milliseconds(50))
    #expect(raw.server.log.count(.replyMissing) == 65_535)
    #expect(raw.server.get([], from: handle, context: 0) == .busy)
    raw.simulation.run(for: .seconds(5))
    #expect(raw.server.get([], from: handle, context: 0) == .ok)
    raw.send(RawPacket.header(.reply, replyID: 9) + [1])
    #expect(raw.server.log.count(.reply) == 0)
    #expect(raw.server.dropped(.staleReply) == 1)
    finishAll(raw.simulation)
  }
}
