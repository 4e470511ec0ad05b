import MsgBox
import Testing

@Suite("Marks of the send queue")
struct QueueMarkTests {
  /// A way to queue one message.
  enum Way: CaseIterable {
    case send, get, answer
  }

  @Test(
    "1000 messages are taken, one more would block, and writable follows", arguments: Way.allCases,
    [Transport.tcp, .udp])
  func messages(way: Way, transport: Transport) throws {
    let pair = try Pair(transport)
    var requests: [Handle] = []
    if way == .answer {
      for batch in 0..<3 {
        for index in 0..<500 {
          let context = UInt(batch * 500 + index)
          #expect(pair.client.get([], from: pair.up, context: context) == .ok)
        }
        pair.run(for: .milliseconds(50))
      }
      requests = pair.server.log.all(.request).map(\.request)
      try #require(requests.count == 1500)
    }
    func queue(_ index: Int) -> Status {
      switch way {
      case .send: pair.server.send([1], to: pair.down)
      case .get: pair.server.get([1], from: pair.down, context: UInt(index + 5000))
      case .answer: pair.server.answer([1], to: requests[index])
      }
    }
    for index in 0..<1000 {
      let status = queue(index)
      if status != .ok { Issue.record("number \(index) gives \(status)") }
    }
    #expect(queue(1000) == .wouldBlock)
    #expect(queue(1000) == .wouldBlock)
    #expect(pair.server.counters(of: pair.down)?.queuedMessages == 1000)
    #expect(pair.server.log.count(.writable) == 0)
    _ = try #require(pair.server.wait(for: .writable, within: .seconds(5)))
    #expect(queue(1000) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.count(.writable) == 1)
    #expect(pair.server.counters(of: pair.down)?.queuedMessages == 0)
    switch way {
    case .send: #expect(pair.client.log.count(.message) == 1001)
    case .get: #expect(pair.client.log.count(.request) == 1001)
    case .answer: #expect(pair.client.log.count(.reply) == 1001)
    }
    pair.finish()
  }

  @Test("The mark of bytes lets one message overshoot", arguments: bothTransports)
  func bytes(transport: Transport) throws {
    var options = ConnectionOptions()
    options.sendMarkBytes = 2000
    let pair = try Pair(transport, clientOptions: options)
    let big = [UInt8](repeating: 1, count: 1100)
    #expect(pair.client.send(big, to: pair.up) == .ok)
    #expect(pair.client.send(big, to: pair.up) == .ok)
    #expect(pair.client.send([], to: pair.up) == .wouldBlock)
    _ = try #require(pair.client.wait(for: .writable, within: .seconds(5)))
    #expect(pair.client.send([], to: pair.up) == .ok)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.all(.message).map(\.bytes.count) == [1100, 1100, 0])
    pair.finish()
  }

  @Test("However many peers take nothing, others can always be sent to")
  func manyThatTakeNothing() throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    server.setLimits {
      $0.sendMarkMessages = 1600
      $0.sendMarkBytes = 1 << 20
    }
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let good = simulation.addNode("good")
    let up = good.connect(.udp, to: server.address(of: listener))
    let down = try #require(server.wait(for: .connectionReady)).handle
    server.onEvent = { node, event in
      if event.kind == .request { _ = node.answer("yes", to: event.request) }
    }
    let stranger = simulation.addStranger(at: RawServer.strangerAddress(1))
    for own in 1...UInt64(30) {
      _ = stranger.shakeHands(with: server.address(of: listener), own: own, in: simulation)
    }
    let taking = server.log.all(.connectionReady).map(\.handle).filter { $0 != down }
    try #require(taking.count == 30)
    for handle in taking {
      while server.send([1], to: handle, options: reliableOptions()) == .ok {}
    }
    #expect(server.census.queuedMessages >= 1600)
    for round in 0..<20 {
      while server.send([2], to: down) == .ok {}
      #expect(good.get("?", from: up, context: UInt(round)) == .ok)
      simulation.run(for: .milliseconds(200))
    }
    // Who waits to hear that it may go on hears it.
    #expect(server.log.all(.writable).count { $0.handle == down } == 20)
    #expect(good.log.count(.reply) == 20)
    #expect(good.log.count(.message) >= 20)
    // What is larger than a share waits for the box.
    #expect(server.send([UInt8](repeating: 3, count: 600_000), to: down) == .wouldBlock)
    simulation.run(for: .seconds(1))
    #expect(server.log.all(.writable).count { $0.handle == down } == 20)
    simulation.tearDown()
  }

  @Test("Nobody who was not refused is told to be writable", arguments: bothTransports)
  func quiet(transport: Transport) throws {
    let pair = try Pair(transport)
    for _ in 0..<1000 { #expect(pair.client.send([1], to: pair.up) == .ok) }
    pair.run(for: .seconds(5))
    #expect(pair.client.log.count(.writable) == 0)
    #expect(pair.server.log.count(.message) == 1000)
    pair.finish()
  }

  @Test("The marks hold before the setup too", arguments: bothTransports)
  func beforeSetup(transport: Transport) throws {
    let simulation = Simulation(seed: 2)
    let server = simulation.addNode("server")
    let listener = server.listen(transport)
    _ = try #require(server.wait(for: .listening))
    let client = simulation.addNode("client")
    var options = ConnectionOptions()
    options.sendMarkMessages = 10
    let handle = client.connect(transport, to: server.address(of: listener), options: options)
    for _ in 0..<10 { #expect(client.send([1], to: handle) == .ok) }
    #expect(client.send([1], to: handle) == .wouldBlock)
    _ = try #require(client.wait(for: .writable))
    #expect(client.log.string() == "connectionSetup writable")
    #expect(server.wait(for: .message, count: 10) != nil)
    finishAll(simulation)
  }

  @Test(
    "A message above the largest that the peer accepts is refused at the send",
    arguments: bothTransports)
  func peersLargest(transport: Transport) throws {
    var options = ConnectionOptions()
    options.maxMessageBytes = 100
    let pair = try Pair(transport, serverOptions: options)
    #expect(pair.client.send([UInt8](repeating: 1, count: 101), to: pair.up) == .tooBig)
    #expect(pair.client.send([UInt8](repeating: 1, count: 100), to: pair.up) == .ok)
    #expect(pair.server.wait(for: .message)?.bytes.count == 100)
    #expect(pair.server.send([UInt8](repeating: 1, count: 101), to: pair.down) == .ok)
    pair.finish()
  }

  @Test("Small messages of one turn share datagrams, and none is above 1200 bytes")
  func packing() throws {
    let pair = try Pair(.udp)
    var datagrams = 0
    pair.simulation.onDatagram = { datagram in
      #expect(datagram.bytes.count <= 1200)
      if datagram.from.ip == pair.client.ip { datagrams += 1 }
      return true
    }
    for index in 0..<1000 {
      #expect(
        pair.client.send([UInt8](repeating: UInt8(index & 255), count: 64), to: pair.up) == .ok)
    }
    _ = try #require(pair.server.wait(for: .message, count: 1000))
    #expect(datagrams <= 63)
    #expect(pair.server.log.all(.message).map(\.bytes.first) == (0..<1000).map { UInt8($0 & 255) })
    pair.finish()
  }
}
