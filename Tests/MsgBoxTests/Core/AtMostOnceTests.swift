import MsgBox
import Testing

/// What goes over the wire between two nodes, with the time since it began to watch.
final class RequestWatch {
  private(set) var requests: [UInt64] = []
  private(set) var replies: [UInt64] = []
  private let simulation: Simulation
  private let start: Instant
  /// Says of each datagram whether it gets through.
  var passes: (Datagram) -> Bool = { _ in true }

  init(_ simulation: Simulation) {
    self.simulation = simulation
    start = simulation.now
    simulation.onDatagram = { [unowned self] datagram in
      if datagram.kind == .request { requests.append(elapsed) }
      if datagram.kind == .reply { replies.append(elapsed) }
      return passes(datagram)
    }
  }

  /// Milliseconds.
  var elapsed: UInt64 { simulation.now.since(start).nanoseconds / 1_000_000 }
}

@Suite("Requests are handled at most once")
struct AtMostOnceTests {
  private func answerAll(_ node: Node) {
    node.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer(event.bytes, to: event.request) == .ok) }
    }
  }

  // MARK: When a request is sent again

  @Test("Copies of a request go after 200 ms and twice that each time, until its time-out")
  func times() throws {
    let pair = try Pair(.udp)
    answerAll(pair.server)
    let watch = RequestWatch(pair.simulation)
    watch.passes = { $0.kind != .request }
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    let missing = try #require(pair.client.wait(for: .replyMissing))
    #expect(watch.elapsed == 5000 && missing.status == .timedOut)
    #expect(watch.requests == [0, 200, 600, 1400, 3000])
    // The wait stays doubled twice for the next ones, until one that was sent once is answered.
    let second = RequestWatch(pair.simulation)
    second.passes = { $0.kind != .request || second.elapsed > 0 }
    #expect(pair.client.get("b", from: pair.up, context: 2) == .ok)
    _ = try #require(pair.client.wait(for: .reply))
    #expect(second.requests == [0, 800])
    #expect(pair.client.get("c", from: pair.up, context: 3) == .ok)
    _ = try #require(pair.client.wait(for: .reply, count: 2))
    let third = RequestWatch(pair.simulation)
    third.passes = { $0.kind != .request }
    #expect(pair.client.get("d", from: pair.up, context: 4) == .ok)
    _ = try #require(pair.client.wait(for: .replyMissing, count: 2))
    // 20 ms there and back, and four times half of it.
    #expect(third.requests == [0, 60, 180, 420, 900, 1860, 3780])
    #expect(pair.server.log.count(.request) == 2)
    #expect(pair.client.counters(of: pair.up)?.resent == 11)
    pair.finish()
  }

  @Test("No copy goes before 20 ms have gone, however near the peer is")
  func least() throws {
    var conditions = LinkConditions()
    conditions.latency = .milliseconds(1)
    let pair = try Pair(.udp, conditions: conditions)
    answerAll(pair.server)
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    _ = try #require(pair.client.wait(for: .reply))
    let watch = RequestWatch(pair.simulation)
    watch.passes = { $0.kind != .request }
    #expect(pair.client.get("b", from: pair.up, context: 2, timeout: .seconds(1)) == .ok)
    _ = try #require(pair.client.wait(for: .replyMissing))
    #expect(watch.requests == [0, 20, 60, 140, 300, 620])
    pair.finish()
  }

  @Test("Of a request that was sent twice nothing is measured")
  func karn() throws {
    let pair = try Pair(.udp)
    answerAll(pair.server)
    let watch = RequestWatch(pair.simulation)
    watch.passes = { $0.kind != .request || watch.elapsed > 0 }
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    _ = try #require(pair.client.wait(for: .reply))
    #expect(watch.elapsed == 220)
    let second = RequestWatch(pair.simulation)
    second.passes = { $0.kind != .request || second.elapsed > 0 }
    #expect(pair.client.get("b", from: pair.up, context: 2) == .ok)
    _ = try #require(pair.client.wait(for: .reply, count: 2))
    #expect(second.requests == [0, 400])
    pair.finish()
  }

  @Test("Nothing is sent again that the system has not taken yet, nor while it takes nothing")
  func blocked() throws {
    let pair = try Pair(.udp)
    let client = pair.client
    let socket = SocketID(rawValue: 0)
    let watch = RequestWatch(pair.simulation)
    client.enter { client.endpoint.setBlocked(socket, true) }
    #expect(client.get("a", from: pair.up, context: 1) == .ok)
    pair.run(for: .milliseconds(2050))
    #expect(watch.requests.isEmpty)
    client.enter { client.endpoint.setBlocked(socket, false) }
    pair.run(for: .milliseconds(50))
    #expect(watch.requests == [2050])
    client.enter { client.endpoint.setBlocked(socket, true) }
    pair.run(for: .seconds(1))
    client.enter { client.endpoint.setBlocked(socket, false) }
    #expect(watch.requests == [2050] && client.counters(of: pair.up)?.resent == 0)
    let request = try #require(pair.server.log.last(.request)).request
    #expect(pair.server.answer("", to: request) == .ok)
    _ = try #require(client.wait(for: .reply))
    #expect(pair.server.log.count(.request) == 1)
    pair.finish()
  }

  @Test("Neither a stream nor a peer without sessions gets a copy")
  func neverAgain() throws {
    let pair = try Pair(.tcp)
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    _ = try #require(pair.client.wait(for: .replyMissing))
    #expect(pair.server.log.count(.request) == 1 && pair.server.dropped(.duplicate) == 0)
    #expect(pair.client.counters(of: pair.up)?.resent == 0)
    pair.finish()
    var options = ConnectionOptions()
    options.implicitPeers = true
    let raw = try RawServer(options: options)
    raw.send(RawPacket.oneWay(nil, "hi"))
    let handle = try #require(raw.server.log.last(.connectionReady)).handle
    #expect(raw.server.get("b", from: handle, context: 1) == .ok)
    _ = try #require(raw.server.wait(for: .replyMissing))
    #expect(raw.answers.filter { $0 == .request }.count == 1)
    finishAll(raw.simulation)
  }

  @Test("A request that waits for the accept is timed from its sending, and given up in time")
  func beforeSetup() throws {
    let simulation = Simulation()
    let server = simulation.addNode("server")
    let client = simulation.addNode("client")
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    answerAll(server)
    simulation.change(server, client) { $0.isUp = false }
    let handle = client.connect(.udp, to: server.address(of: listener))
    let watch = RequestWatch(simulation)
    #expect(client.get("soon", from: handle, context: 1, timeout: .seconds(1)) == .ok)
    #expect(client.get("late", from: handle, context: 2) == .ok)
    simulation.run(for: .milliseconds(1200))
    #expect(client.log.count(.replyMissing) == 1 && watch.requests.isEmpty)
    simulation.change(server, client) { $0.isUp = true }
    let reply = try #require(client.wait(for: .reply))
    #expect(reply.getContext == 2 && watch.requests.count == 1)
    let second = RequestWatch(simulation)
    second.passes = { $0.kind != .request || second.elapsed > 0 }
    #expect(client.get("", from: handle, context: 3) == .ok)
    _ = try #require(client.wait(for: .reply, count: 2))
    #expect(second.requests == [0, 60])
    #expect(server.log.all(.request).map(\.text) == ["late", ""])
    finishAll(simulation)
  }

  @Test("No copy goes once a part of the reply has come")
  func partOfReply() throws {
    let pair = try Pair(.udp)
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      #expect(node.answer([UInt8](repeating: 7, count: 5000), to: event.request) == .ok)
    }
    let watch = RequestWatch(pair.simulation)
    let server = pair.address
    var fromServer = 0
    watch.passes = { datagram in
      guard datagram.from == server else { return true }
      fromServer += 1
      return fromServer < 3 || watch.elapsed > 1500
    }
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    let reply = try #require(pair.client.wait(for: .reply))
    #expect(reply.bytes.count == 5000 && watch.elapsed > 1500)
    #expect(watch.requests == [0] && pair.server.dropped(.duplicate) == 0)
    // What many packets took says nothing of one.
    let second = RequestWatch(pair.simulation)
    second.passes = { $0.kind != .request }
    #expect(pair.client.get("b", from: pair.up, context: 2) == .ok)
    pair.run(for: .seconds(1))
    #expect(second.requests == [0, 200, 600])
    pair.finish()
  }

  // MARK: The server

  @Test("Copies that come before the answer are dropped, and the answer is given once")
  func slowAnswer() throws {
    let pair = try Pair(.udp)
    let watch = RequestWatch(pair.simulation)
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    pair.run(for: .seconds(2))
    #expect(watch.requests == [0, 200, 600, 1400])
    #expect(pair.server.log.count(.request) == 1 && pair.server.dropped(.duplicate) == 3)
    let request = try #require(pair.server.log.last(.request)).request
    #expect(pair.server.answer("done", to: request) == .ok)
    #expect(pair.server.answer("done", to: request) == .badHandle)
    pair.run(for: .seconds(4))
    #expect(watch.replies == [2000] && pair.client.log.count(.reply) == 1)
    pair.finish()
  }

  @Test("A lost reply is sent again for each copy that comes as copies do")
  func lostReply() throws {
    let pair = try Pair(.udp)
    answerAll(pair.server)
    let watch = RequestWatch(pair.simulation)
    watch.passes = { $0.kind != .reply || watch.elapsed > 1400 }
    #expect(pair.client.get("a", from: pair.up, context: 1) == .ok)
    let reply = try #require(pair.client.wait(for: .reply))
    #expect(reply.text == "a" && watch.elapsed == 1420)
    #expect(watch.requests == [0, 200, 600, 1400] && watch.replies == [10, 210, 610, 1410])
    #expect(pair.server.log.count(.request) == 1)
    pair.finish()
  }

  @Test("A copy that comes when its reply is no longer kept is ignored")
  func evictedReply() throws {
    let pair = try Pair(.udp)
    answerAll(pair.server)
    let watch = RequestWatch(pair.simulation)
    watch.passes = { $0.kind != .reply || watch.elapsed > 10_100 }
    #expect(pair.client.get("a", from: pair.up, context: 1, timeout: .seconds(20)) == .ok)
    let missing = try #require(pair.client.wait(for: .replyMissing))
    #expect(missing.status == .timedOut)
    #expect(watch.requests == [0, 200, 600, 1400, 3000, 6200, 12_600])
    #expect(watch.replies == [10, 210, 610, 1410, 3010, 6210])
    #expect(pair.server.log.count(.request) == 1)
    pair.finish()
  }

  @Test("What is older than the window is ignored, what is only late is not")
  func window() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    func send(_ messageID: UInt32) {
      raw.send(RawPacket.request(session, replyID: 1, messageID: messageID, []))
    }
    // The first to arrive need not be the first that was sent.
    send(5000)
    send(0)
    send(4999)
    #expect(raw.server.log.count(.request) == 3)
    send(0)
    send(5000)
    #expect(raw.server.log.count(.request) == 3 && raw.server.dropped(.duplicate) == 2)
    send(1_060_000)
    send(1)
    send(5001)
    #expect(raw.server.log.count(.request) == 4 && raw.server.dropped(.duplicate) == 4)
    send(1_059_999)
    #expect(raw.server.log.count(.request) == 5)
    finishAll(raw.simulation)
  }

  @Test("Copies in one datagram and around the answer make one event and no second reply at once")
  func copies() throws {
    let raw = try RawServer()
    let (session, _) = try raw.join()
    answerAll(raw.server)
    raw.stranger.forget()
    let request = RawPacket.request(session, replyID: 9, messageID: 0, [1])
    raw.send(request, request, request)
    #expect(raw.server.log.count(.request) == 1 && raw.server.dropped(.duplicate) == 2)
    // One reply, and one for the first copy.
    #expect(raw.answers.filter { $0 == .reply }.count <= 2)
    // The message id of one request and the reply id of another are nobody's.
    raw.stranger.forget()
    raw.simulation.run(for: .seconds(2))
    raw.send(RawPacket.request(session, replyID: 8, messageID: 0, [1]))
    #expect(raw.answers.filter { $0 == .reply }.isEmpty)
    #expect(raw.server.log.count(.request) == 1)
    finishAll(raw.simulation)
  }

  // MARK: Several packets

  @Test("Requests and replies of any size over a bad link", arguments: UInt64(1)...3)
  func anySize(seed: UInt64) throws {
    var conditions = LinkConditions()
    conditions.loss = 300
    conditions.duplication = 100
    conditions.reordering = 100
    let pair = try Pair(.udp, seed: seed, conditions: conditions)
    pair.server.onEvent = { node, event in
      guard event.kind == .request else { return }
      let size = event.bytes.count % 3 == 0 ? 4000 : 5
      let reply = Array(event.bytes.prefix(2)) + [UInt8](repeating: 1, count: size)
      #expect(node.answer(reply, to: event.request) == .ok)
    }
    for index in 0..<200 {
      let bytes = RawPacket.u16(UInt16(index)) + [UInt8](repeating: 2, count: index % 50 * 90)
      #expect(
        pair.client.get(bytes, from: pair.up, context: UInt(index), timeout: .seconds(60)) == .ok)
    }
    pair.simulation.run(within: .seconds(90)) {
      pair.client.log.count(.reply) + pair.client.log.count(.replyMissing) == 200
    }
    let replies = pair.client.log.all(.reply)
    #expect(replies.count >= 195)
    #expect(
      replies.allSatisfy { Array($0.bytes.prefix(2)) == RawPacket.u16(UInt16($0.getContext)) })
    let handled = pair.server.log.all(.request).map { Array($0.bytes.prefix(2)) }
    #expect(Set(handled).count == handled.count && handled.count >= replies.count)
    pair.finish()
  }

  @Test("A small reply to a request of several packets is sent again by itself")
  func smallReplyToBig() throws {
    let pair = try Pair(.udp)
    answerAll(pair.server)
    pair.server.onEvent = { node, event in
      if event.kind == .request { #expect(node.answer("yes", to: event.request) == .ok) }
    }
    let watch = RequestWatch(pair.simulation)
    let server = pair.address
    watch.passes = { [unowned watch] in
      // What comes from the server in numbered datagrams.
      !($0.from == server && $0.bytes.count > 1 && $0.bytes[1] == 14 && watch.elapsed < 300)
    }
    let big = [UInt8](repeating: 3, count: 3000)
    #expect(pair.client.get(big, from: pair.up, context: 1) == .ok)
    let reply = try #require(pair.client.wait(for: .reply))
    #expect(reply.text == "yes" && watch.elapsed >= 300)
    #expect(watch.requests.isEmpty && pair.server.log.count(.request) == 1)
    pair.finish()
  }
}
