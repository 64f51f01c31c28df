-- What semantic search needs of the schema, made when a store with an embedder is opened first. {schema} is the schema's
-- name and {vector} that of pgvector, quoted. A released migration is never edited.

-- A row per text of an item. Of an item's rows, those with its updated_at are valid; others are of a write that
-- another one overtook, which the next write of the item removes.
CREATE TABLE {schema}.vectors (
    namespace text COLLATE "C" NOT NULL,
    subspace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,                 -- 16 bytes by which a text is known again
    updated_at bigint NOT NULL,          -- that of the item
    embedding {vector}.vector NOT NULL,  -- unit length, or all zeros
    generation bigint NOT NULL,          -- of the store's when it serves; later ones are staged, earlier ones left over
    PRIMARY KEY (namespace, subspace, key, hash, generation)
) WITH (toast_tuple_target = 8160);

-- Beside the address, not in another file: a scan reads every vector of a namespace.
ALTER TABLE {schema}.vectors ALTER COLUMN embedding SET STORAGE MAIN;

-- Finds the vector of a text that is already embedded.
CREATE INDEX vectors_by_hash ON {schema}.vectors (hash);

ALTER FUNCTION {schema}.write_items RENAME TO write_rows;

-- Whether vectors of the next generation are being staged. SQLSTATE CT002 if vectors of this generation are not those that
-- serve, CT003 if nobody may write any for a moment. Who asks has touched the table of vectors, and so keeps a switch waiting.
CREATE FUNCTION {schema}.check_vectors(p_generation bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    serving bigint;
    present_phase integer;
    held bigint;
BEGIN
    SELECT s.generation, s.phase, s.held_until INTO serving, present_phase, held FROM {schema}.state AS s;
    IF serving <> p_generation THEN
        RAISE SQLSTATE 'CT002' USING MESSAGE = 'all vectors were replaced';
    END IF;
    IF held > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint THEN
        RAISE SQLSTATE 'CT003' USING MESSAGE = 'vectors are about to be replaced';
    END IF;
    RETURN present_phase = 1;
END
$$;

-- What is staged for an item that was written again at p_stamp stays for texts that it still has.
CREATE FUNCTION {schema}.keep_staged(
    p_namespace text, p_subspace text, p_key text, p_stamp bigint, p_generation bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {schema}.vectors AS v
    WHERE v.namespace = p_namespace AND v.subspace = p_subspace AND v.key = p_key AND v.generation > p_generation
      AND NOT EXISTS (
          SELECT FROM {schema}.vectors AS c
          WHERE c.namespace = p_namespace AND c.namespace = v.namespace AND c.subspace = v.subspace AND c.key = v.key
            AND c.hash = v.hash AND c.generation = p_generation
      );
    UPDATE {schema}.vectors AS v SET updated_at = p_stamp
    WHERE v.namespace = p_namespace AND v.subspace = p_subspace AND v.key = p_key AND v.generation > p_generation;
END
$$;

-- Stages vectors for texts of items that are still those of p_stamps; the addresses are in order.
CREATE FUNCTION {schema}.stage_vectors(
    p_namespaces text[], p_subspaces text[], p_keys text[], p_stamps bigint[], p_hashes bytea[],
    p_embeddings {vector}.vector[], p_generation bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. cardinality(p_keys) LOOP
        PERFORM FROM {schema}.items AS i
        WHERE i.namespace = p_namespaces[n] AND i.subspace = p_subspaces[n] AND i.key = p_keys[n]
          AND i.updated_at = p_stamps[n]
        FOR SHARE;
        -- An import may have brought another item with the same time: only texts that the item has are staged.
        IF FOUND AND EXISTS (
            SELECT FROM {schema}.vectors AS old
            WHERE old.namespace = p_namespaces[n] AND old.subspace = p_subspaces[n] AND old.key = p_keys[n]
              AND old.hash = p_hashes[n] AND old.generation = p_generation - 1
        ) THEN
            INSERT INTO {schema}.vectors AS v (namespace, subspace, key, hash, updated_at, embedding, generation)
            VALUES (p_namespaces[n], p_subspaces[n], p_keys[n], p_hashes[n], p_stamps[n], p_embeddings[n], p_generation)
            ON CONFLICT (namespace, subspace, key, hash, generation) DO UPDATE SET updated_at = EXCLUDED.updated_at;
        END IF;
    END LOOP;
END
$$;

-- Does what write_rows does, and replaces the vectors of all these items: vector n belongs to item p_owners[n].
CREATE FUNCTION {schema}.write_memories(
    p_erased_namespaces text[], p_erased_subspaces text[], p_erased_keys text[],
    p_namespaces text[], p_subspaces text[], p_keys text[], p_values text[], p_minutes double precision[],
    p_addresses text[], p_numbers integer[], p_expected bigint[], p_terms text[], p_lengths integer[],
    p_now bigint, p_horizon bigint,
    p_owners integer[], p_hashes bytea[], p_embeddings {vector}.vector[], p_generation bigint
) RETURNS TABLE (written_created_at bigint, written_updated_at bigint) LANGUAGE plpgsql AS $$
DECLARE
    stamps bigint[] := '{}';
    is_staging boolean := false;
    texts integer[] := array_fill(0, ARRAY[cardinality(p_keys)]);
BEGIN
    FOR n IN 1 .. cardinality(p_owners) LOOP
        texts[p_owners[n]] := texts[p_owners[n]] + 1;
    END LOOP;
    FOR written_created_at, written_updated_at IN SELECT * FROM {schema}.write_rows(
        p_erased_namespaces, p_erased_subspaces, p_erased_keys, p_namespaces, p_subspaces, p_keys, p_values, p_minutes,
        p_addresses, p_numbers, p_expected, p_terms, p_lengths, p_now, p_horizon, texts)
    LOOP
        stamps := stamps || written_updated_at;
        RETURN NEXT;
    END LOOP;
    -- The rows of the items are locked now, so nobody else changes their vectors; but one that was not there to be erased
    -- may have been written since, and keeps its own.
    FOR n IN 1 .. cardinality(p_erased_keys) LOOP
        DELETE FROM {schema}.vectors AS v
        WHERE v.namespace = p_erased_namespaces[n] AND v.subspace = p_erased_subspaces[n] AND v.key = p_erased_keys[n]
          AND NOT EXISTS (
              SELECT FROM {schema}.items AS i
              WHERE i.namespace = p_erased_namespaces[n] AND i.namespace = v.namespace AND i.subspace = v.subspace
                AND i.key = v.key AND i.updated_at = v.updated_at
          );
    END LOOP;
    FOR n IN 1 .. cardinality(p_keys) LOOP
        DELETE FROM {schema}.vectors AS v
        WHERE v.namespace = p_namespaces[n] AND v.subspace = p_subspaces[n] AND v.key = p_keys[n]
          AND (p_generation IS NULL OR v.generation <= p_generation);
    END LOOP;
    IF cardinality(p_owners) > 0 THEN
        is_staging := {schema}.check_vectors(p_generation);
    END IF;
    INSERT INTO {schema}.vectors (namespace, subspace, key, hash, updated_at, embedding, generation)
    SELECT p_namespaces[p.owner], p_subspaces[p.owner], p_keys[p.owner], p.hash, stamps[p.owner], p.embedding,
           p_generation
    FROM unnest(p_owners, p_hashes, p_embeddings) AS p (owner, hash, embedding);
    IF is_staging THEN
        FOR n IN 1 .. cardinality(p_keys) LOOP
            PERFORM {schema}.keep_staged(p_namespaces[n], p_subspaces[n], p_keys[n], stamps[n], p_generation);
        END LOOP;
    END IF;
END
$$;

-- Does what write_item does, and gives the item its only vector; p_hash and p_generation NULL: none.
CREATE FUNCTION {schema}.write_memory(
    p_namespace text, p_subspace text, p_key text, p_value text, p_minutes double precision, p_address text,
    p_terms text, p_length integer, p_now bigint, p_horizon bigint, p_hash bytea, p_embedding {vector}.vector,
    p_generation bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    present bigint := coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    times bigint[] := {schema}.write_row(
        p_namespace, p_subspace, p_key, p_value, p_minutes, p_address, NULL, p_terms, p_length,
        {schema}.draw_stamps(1, present), present, coalesce(p_horizon, present), (p_hash IS NOT NULL)::integer);
    is_staging boolean;
BEGIN
    DELETE FROM {schema}.vectors AS v
    WHERE v.namespace = p_namespace AND v.subspace = p_subspace AND v.key = p_key
      AND (p_generation IS NULL OR v.generation <= p_generation);
    IF p_hash IS NOT NULL THEN
        is_staging := {schema}.check_vectors(p_generation);
        INSERT INTO {schema}.vectors (namespace, subspace, key, hash, updated_at, embedding, generation)
        VALUES (p_namespace, p_subspace, p_key, p_hash, times[2], p_embedding, p_generation);
        IF is_staging THEN
            PERFORM {schema}.keep_staged(p_namespace, p_subspace, p_key, times[2], p_generation);
        END IF;
    END IF;
    RETURN times;
END
$$;

-- For stores that were opened before there were vectors: what they write or erase must leave none behind.
CREATE OR REPLACE FUNCTION {schema}.write_item(
    p_namespace text, p_subspace text, p_key text, p_value text, p_minutes double precision, p_address text,
    p_terms text, p_length integer, p_now bigint, p_horizon bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN {schema}.write_memory(
        p_namespace, p_subspace, p_key, p_value, p_minutes, p_address, p_terms, p_length, p_now, p_horizon, NULL, NULL,
        NULL);
END
$$;

CREATE FUNCTION {schema}.write_items(
    p_erased_namespaces text[], p_erased_subspaces text[], p_erased_keys text[],
    p_namespaces text[], p_subspaces text[], p_keys text[], p_values text[], p_minutes double precision[],
    p_addresses text[], p_numbers integer[], p_expected bigint[], p_terms text[], p_lengths integer[],
    p_now bigint, p_horizon bigint
) RETURNS TABLE (written_created_at bigint, written_updated_at bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM {schema}.write_memories(
        p_erased_namespaces, p_erased_subspaces, p_erased_keys, p_namespaces, p_subspaces, p_keys, p_values, p_minutes,
        p_addresses, p_numbers, p_expected, p_terms, p_lengths, p_now, p_horizon, '{}', '{}', '{}',
        NULL);
END
$$;
