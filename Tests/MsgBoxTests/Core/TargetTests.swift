import MsgBox
import Testing

@Suite("Send targets")
struct TargetTests {
  @Test("Any peer: each in turn, passing over those at their marks", arguments: bothTransports)
  func any(transport: Transport) throws {
    var options = ConnectionOptions()
    options.sendMarkMessages = 2
    let crowd = try Crowd(transport, count: 3, options: options)
    let server = crowd.server
    let next = { (server: Node) -> Handle? in
      if case .success(let handle) = server.sendAny([1], from: crowd.listener) {
        handle
      } else {
        nil
      }
    }
    #expect((0..<3).map { _ in next(server) } == crowd.down)
    #expect(server.send([2], to: crowd.down[1]) == .ok)
    #expect((0..<2).map { _ in next(server) } == [crowd.down[0], crowd.down[2]])
    #expect(server.sendAny([1], from: crowd.listener) == .failure(.wouldBlock))
    crowd.simulation.run(for: .seconds(1))
    #expect(crowd.client.log.count(.message) == 6)
    #expect(server.log.count(.writable) == 3)
    #expect(next(server) == crowd.down[0])
    finishAll(crowd.simulation)
  }

  @Test("Who was only passed over is not told to be writable", arguments: bothTransports)
  func passedOver(transport: Transport) throws {
    var options = ConnectionOptions()
    options.sendMarkMessages = 1
    let crowd = try Crowd(transport, count: 2, options: options)
    #expect(crowd.server.send([1], to: crowd.down[0]) == .ok)
    #expect(crowd.server.sendAny([1], from: crowd.listener) == .success(crowd.down[1]))
    crowd.simulation.run(for: .seconds(1))
    #expect(crowd.server.log.count(.writable) == 0)
    finishAll(crowd.simulation)
  }

  @Test("Without a peer there is none", arguments: bothTransports)
  func nobody(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.server.broadcast([1], from: pair.listener).queued == 1)
    #expect(pair.client.disconnect(pair.up) == .ok)
    _ = try #require(pair.server.wait(for: .connectionClosed))
    #expect(pair.server.sendAny([1], from: pair.listener) == .failure(.noPeer))
    #expect(Status.noPeer.rawValue == -34)
    #expect(pair.server.broadcast([1], from: pair.listener).queued == 0)
    #expect(pair.client.sendAny([1], from: pair.up) == .failure(.badHandle))
    finishAll(pair.simulation)
  }

  @Test(
    "A broadcast reaches all but those at their marks, who are told", arguments: bothTransports,
    [1, 50_000])
  func all(transport: Transport, size: Int) throws {
    var options = ConnectionOptions()
    options.sendMarkMessages = 3
    let crowd = try Crowd(transport, count: 5, options: options)
    let server = crowd.server
    for _ in 0..<3 { #expect(server.send([2], to: crowd.down[2]) == .ok) }
    let report = server.broadcast(
      [UInt8](repeating: 1, count: size), from: crowd.listener)
    #expect(report.queued == 4)
    #expect(report.skipped.map(\.handle) == [crowd.down[2]])
    #expect(report.skipped.map(\.status) == [.wouldBlock])
    crowd.simulation.run(for: .seconds(1))
    let reached = crowd.client.log.all(.message).filter { $0.bytes.first == 1 }
    #expect(reached.count == 4 && reached.allSatisfy { $0.bytes.count == size })
    #expect(Set(reached.map(\.handle)).count == 4)
    #expect(server.log.all(.writable).map(\.handle) == [crowd.down[2]])
    finishAll(crowd.simulation)
  }

  @Test("A reliable broadcast has an outcome for each peer", arguments: bothTransports)
  func outcomes(transport: Transport) throws {
    let crowd = try Crowd(transport, count: 4)
    let options = sendOptions {
      $0.isReliable = true
      $0.wantsOutcome = true
      $0.context = 5
    }
    let bytes = [UInt8](repeating: 7, count: 30_000)
    #expect(crowd.server.broadcast(bytes, from: crowd.listener, options: options).queued == 4)
    crowd.simulation.run(for: .seconds(2))
    let delivered = crowd.server.log.all(.delivered)
    #expect(Set(delivered.map(\.handle)) == Set(crowd.down) && delivered.count == 4)
    #expect(crowd.client.log.all(.message).count { $0.bytes == bytes } == 4)
    finishAll(crowd.simulation)
  }
}
