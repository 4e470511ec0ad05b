import MsgBox
import Testing

@Suite("Backpressure")
struct PressureTests {
  /// A way to queue one message besides those of `QueueMarkTests`.
  enum Way: CaseIterable {
    case reliable, ordered, keyed, deadline, any, all

    func queue(_ index: Int, _ node: Node, _ listener: Handle, _ connection: Handle) -> Status {
      switch self {
      case .any:
        switch node.sendAny([1], from: listener) {
        case .success: return .ok
        case .failure(let status): return status
        }
      case .all:
        let report = node.broadcast([1], from: listener)
        return report.queued == 1 ? .ok : report.skipped.first?.status ?? .noPeer
      default:
        return node.send([1], to: connection, options: options(index))
      }
    }

    private func options(_ index: Int) -> SendOptions {
      sendOptions {
        $0.isReliable = self == .reliable || self == .ordered
        $0.channel = self == .ordered ? 7 : 0
        $0.key = self == .keyed ? UInt64(index + 1) : 0
        if self == .deadline { $0.deadline = .seconds(5) }
      }
    }
  }

  @Test(
    "Each way to send takes 1000 messages and refuses one more, and is writable once",
    arguments: Way.allCases, bothTransports)
  func marks(way: Way, transport: Transport) throws {
    let pair = try Pair(transport)
    pair.run(for: .seconds(1))
    func queue(_ index: Int) -> Status { way.queue(index, pair.server, pair.listener, pair.down) }
    for index in 0..<1000 {
      let status = queue(index)
      if status != .ok { Issue.record("number \(index) gives \(status)") }
    }
    #expect(queue(1000) == .wouldBlock)
    #expect(queue(1000) == .wouldBlock)
    #expect(pair.server.census.queuedMessages == 1000)
    #expect(pair.server.census.queuedBytes == 1000)
    _ = try #require(pair.server.wait(for: .writable, within: .seconds(5)))
    #expect(queue(1001) == .ok)
    pair.run(for: .seconds(2))
    #expect(pair.server.log.count(.writable) == 1)
    #expect(pair.client.log.count(.message) == 1001)
    #expect(pair.server.census.queuedMessages == 0 && pair.server.census.queuedBytes == 0)
    pair.finish()
  }

  @Test("A full socket holds up its own connections only, and nothing is lost or doubled")
  func blockedSocket() throws {
    let pair = try Pair(.udp)
    let server = pair.server
    let second = server.listen(.udp, port: 9000)
    _ = try #require(server.wait(for: .listening, count: 2))
    let other = pair.client.connect(.udp, to: server.address(of: second))
    let otherDown = try #require(server.wait(for: .connectionReady, count: 2)).handle
    pair.run(for: .seconds(1))
    server.setBlocked(pair.down, true)
    let big = [UInt8](repeating: 9, count: 5000)
    for index in UInt8(0)..<100 {
      #expect(server.send([index], to: pair.down) == .ok)
      #expect(server.send([index], to: otherDown) == .ok)
    }
    #expect(server.send(big, to: pair.down) == .ok)
    #expect(server.send([200], to: pair.down, options: sendOptions { $0.isReliable = true }) == .ok)
    pair.run(for: .seconds(3))
    let client = pair.client
    #expect(client.log.all(.message).allSatisfy { $0.handle == other })
    #expect(client.log.count(.message) == 100)
    #expect(server.census.queuedMessages == 102)
    server.setBlocked(pair.down, false)
    pair.run(for: .seconds(1))
    let mine = client.log.all(.message).filter { $0.handle == pair.up }.map(\.bytes)
    #expect(mine.filter { $0.count == 1 && $0[0] < 200 } == (UInt8(0)..<100).map { [$0] })
    #expect(mine.count { $0 == big } == 1 && mine.count { $0 == [200] } == 1)
    #expect(mine.count == 102)
    #expect(server.census.queuedMessages == 0 && server.census.queuedBytes == 0)
    pair.finish()
  }

  @Test("The marks of the box hold for all connections together, who are told in their order")
  func box() throws {
    let crowd = try Crowd(.tcp, count: 5)
    crowd.server.setLimits {
      $0.sendMarkMessages = 100
      $0.sendMarkBytes = 300_000
    }
    for index in 0..<100 { #expect(crowd.server.send([1], to: crowd.down[index % 5]) == .ok) }
    // More than the share that each has beyond the mark, of which others hear as soon as they have
    // nothing queued.
    let large = [UInt8](repeating: 2, count: 4000)
    for handle in crowd.down.reversed() {
      #expect(crowd.server.send(large, to: handle) == .wouldBlock)
      #expect(crowd.server.send(large, to: handle) == .wouldBlock)
    }
    crowd.simulation.run(for: .seconds(1))
    #expect(crowd.server.log.all(.writable).map(\.handle) == crowd.down.reversed())
    #expect(crowd.client.log.count(.message) == 100)
    finishAll(crowd.simulation)
  }

  @Test("Larger marks of the box let those go on who wait for it")
  func raisedBox() throws {
    let pair = try Pair(.tcp)
    pair.run(for: .seconds(1))
    pair.server.setLimits { $0.sendMarkMessages = 2 }
    pair.server.setBlocked(pair.down, true)
    for _ in 0..<2 { #expect(pair.server.send([1], to: pair.down) == .ok) }
    #expect(pair.server.send([1], to: pair.down) == .wouldBlock)
    pair.run(for: .seconds(1))
    #expect(pair.server.log.count(.writable) == 0)
    pair.server.setLimits { $0.sendMarkMessages = 100 }
    pair.server.scheduleTurn()
    pair.run(for: .seconds(1))
    #expect(pair.server.log.count(.writable) == 1)
    pair.server.setBlocked(pair.down, false)
    pair.finish()
  }

  @Test("A hello flood leaves connections their turn, and its queue is bounded")
  func helloFlood() throws {
    let crowd = try Crowd(.udp, count: 20)
    let server = crowd.server
    crowd.server.setLimits { $0.turnDatagrams = 100 }
    let found = server.endpoint.socket(of: crowd.down[0])
    let socket = try #require(found)
    let local = server.address(of: crowd.listener)
    for own in UInt64(1)...20_000 {
      let hello = RawPacket.hello(own: own)
      let remote = Address(ip: IPAddress(v4: 0x0a01_0000 + UInt32(own)), port: 5000)
      server.endpoint.receive(hello.span, on: socket, from: remote, to: local, at: server.now)
    }
    for handle in crowd.down {
      for _ in 0..<5 { #expect(server.send([UInt8](repeating: 1, count: 1000), to: handle) == .ok) }
    }
    let turns = [server.turnByHand(), server.turnByHand()]
    let isData = { (sent: (remote: Address, count: Int)) in sent.remote.ip == crowd.client.ip }
    #expect(turns.map(\.count) == [500, 400], "four answers for each that connections may send")
    #expect(turns[0].prefix(50).allSatisfy { !isData($0) }, "some answers go first")
    #expect(turns[0].dropFirst(50).prefix(100).allSatisfy(isData), "and then connections")
    var rest = 0
    while case let more = server.turnByHand().count, more > 0 { rest += more }
    #expect(rest + 800 == 2049, "an accept to each that is kept, and then cookies")
  }
}
