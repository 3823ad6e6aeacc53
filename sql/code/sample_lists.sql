-- Word lists of the sample data. Persons and firms are invented; web domains end in .example and
-- telephone numbers come from ranges that regulators keep for fiction, where there is one.

CREATE FUNCTION saleshub.sample_countries(
    OUT country text, OUT weight int, OUT currency text, OUT suffixes text[], OUT cities text[],
    OUT phone text, OUT first_names text[], OUT last_names text[])
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
    ('DE', 20, 'EUR', ARRAY['GmbH', 'GmbH', 'AG', 'KG'],
     ARRAY['Berlin', 'Hamburg', 'München', 'Köln', 'Leipzig', 'Stuttgart', 'Bremen', 'Nürnberg'],
     '+493023125###',
     ARRAY['Anna', 'Lukas', 'Sabine', 'Jonas', 'Miriam', 'Felix', 'Greta', 'Stefan', 'Katrin',
           'Emre', 'Jürgen', 'Leonie', 'Matthias', 'Ayşe', 'Tobias', 'Heike'],
     ARRAY['Krüger', 'Albrecht', 'Sommer', 'Yılmaz', 'Behrens', 'Lindner', 'Vogt', 'Kaufmann',
           'Winkler', 'Böhm', 'Reimers', 'Ostermann', 'Schreiber', 'Hartwig', 'Nowak', 'Thiel']),
    ('AT', 3, 'EUR', ARRAY['GmbH', 'AG'], ARRAY['Wien', 'Graz', 'Linz', 'Salzburg'], NULL,
     ARRAY['Johanna', 'Florian', 'Magdalena', 'Klemens', 'Theresa', 'Bernhard', 'Mirjana',
           'Paul'],
     ARRAY['Hofstätter', 'Pichler', 'Leitgeb', 'Moser', 'Steinwender', 'Jovanović', 'Brandl',
           'Egger']),
    ('CH', 4, 'CHF', ARRAY['AG', 'AG', 'GmbH', 'SA'], ARRAY['Zürich', 'Basel', 'Bern', 'Genève'],
     NULL,
     ARRAY['Reto', 'Seraina', 'Beat', 'Céline', 'Urs', 'Luca', 'Nadja', 'Fabienne'],
     ARRAY['Zumstein', 'Aeschbacher', 'Rochat', 'Bianchi', 'Gerber', 'Wyss', 'Caduff', 'Imhof']),
    ('GB', 14, 'GBP', ARRAY['Ltd', 'Ltd', 'plc', 'LLP'],
     ARRAY['London', 'Manchester', 'Leeds', 'Bristol', 'Glasgow', 'Cardiff', 'Belfast'],
     '+442079460###',
     ARRAY['Oliver', 'Priya', 'Harriet', 'Callum', 'Zainab', 'George', 'Imogen', 'Kwame', 'Fiona',
           'Rhys', 'Amara', 'Duncan', 'Beatrice', 'Tariq', 'Nia', 'Alistair'],
     ARRAY['Whitcombe', 'Patel', 'Ashdown', 'MacAllister', 'Okafor', 'Pembury', 'Thorne',
           'Hussain', 'Garside', 'Llewellyn', 'Fairweather', 'Boateng', 'Calloway', 'Redfern',
           'Sharma', 'Marlowe']),
    ('IE', 2, 'EUR', ARRAY['Ltd', 'DAC'], ARRAY['Dublin', 'Cork', 'Galway'], '+3532091#####',
     ARRAY['Aoife', 'Cormac', 'Saoirse', 'Declan', 'Niamh', 'Eoin'],
     ARRAY['Brannigan', 'Ó Faoláin', 'Delahunty', 'Keogh', 'MacSweeney', 'Tierney']),
    ('FR', 10, 'EUR', ARRAY['SAS', 'SARL', 'SA'],
     ARRAY['Paris', 'Lyon', 'Nantes', 'Toulouse', 'Lille', 'Strasbourg', 'Bordeaux'],
     '+3319900####',
     ARRAY['Camille', 'Étienne', 'Sofiane', 'Margaux', 'Bastien', 'Inès', 'Hugo', 'Fatou',
           'Élodie', 'Mathieu', 'Clémence', 'Youssef', 'Pauline', 'Rémi'],
     ARRAY['Delacourt', 'Moreau', 'Benhaddou', 'Lefranc', 'Garnier', 'Vasseur', 'Diallo',
           'Roussel', 'Chevallier', 'Perrin', 'Marchand', 'Tessier', 'Haddad', 'Guillon']),
    ('ES', 6, 'EUR', ARRAY['S.L.', 'S.A.'],
     ARRAY['Madrid', 'Barcelona', 'Valencia', 'Sevilla', 'Bilbao'], NULL,
     ARRAY['Lucía', 'Álvaro', 'Carmen', 'Iker', 'Marta', 'Joaquín', 'Nerea', 'Sergi', 'Rocío',
           'Andrés'],
     ARRAY['Belmonte', 'Etxeberria', 'Navarro', 'Puig', 'Carrasco', 'Villanueva', 'Ferrer',
           'Ibarra', 'Montero', 'Salcedo']),
    ('IT', 6, 'EUR', ARRAY['S.r.l.', 'S.p.A.'],
     ARRAY['Milano', 'Torino', 'Bologna', 'Roma', 'Verona'], NULL,
     ARRAY['Giulia', 'Matteo', 'Chiara', 'Lorenzo', 'Elena', 'Davide', 'Francesca', 'Nicolò',
           'Silvia', 'Amir'],
     ARRAY['Barbieri', 'Colombo', 'Fontana', 'Marchetti', 'Sartori', 'Vitale', 'Galli', 'Rinaldi',
           'Cattaneo', 'De Santis']),
    ('NL', 6, 'EUR', ARRAY['B.V.', 'B.V.', 'N.V.'],
     ARRAY['Amsterdam', 'Rotterdam', 'Utrecht', 'Eindhoven', 'Groningen'], NULL,
     ARRAY['Sanne', 'Joris', 'Femke', 'Bram', 'Meryem', 'Thijs', 'Lotte', 'Ruben', 'Anouk',
           'Daan'],
     ARRAY['van der Velde', 'Hoekstra', 'Dijkgraaf', 'Bakker', 'El Amrani', 'Verhoeven', 'Postma',
           'Kuipers', 'Smeets', 'de Wit']),
    ('SE', 5, 'EUR', ARRAY['AB'], ARRAY['Stockholm', 'Göteborg', 'Malmö', 'Uppsala'],
     '+468465004##',
     ARRAY['Elsa', 'Oskar', 'Linnea', 'Gustav', 'Ebba', 'Henrik', 'Saga', 'Arvid', 'Leila',
           'Björn'],
     ARRAY['Lindqvist', 'Åkesson', 'Bergström', 'Sandberg', 'Nyström', 'Hallberg', 'Öberg',
           'Rahimi', 'Ekdahl', 'Söderlund']),
    ('PL', 5, 'EUR', ARRAY['Sp. z o.o.', 'S.A.'],
     ARRAY['Warszawa', 'Kraków', 'Wrocław', 'Poznań', 'Gdańsk'], NULL,
     ARRAY['Agnieszka', 'Tomasz', 'Zofia', 'Marcin', 'Kinga', 'Paweł', 'Joanna', 'Jakub',
           'Ewelina', 'Łukasz'],
     ARRAY['Wiśniewska', 'Kowalczyk', 'Zawadzki', 'Maciejewska', 'Górski', 'Sikora', 'Baran',
           'Pawlak', 'Wróbel', 'Jabłońska']),
    ('US', 14, 'USD', ARRAY['Inc.', 'LLC', 'Corp.'],
     ARRAY['Austin', 'Boston', 'Chicago', 'Denver', 'Portland', 'Atlanta', 'Columbus',
           'San Diego'],
     '+120255501##',
     ARRAY['Marcus', 'Elena', 'Tyler', 'Keisha', 'Brandon', 'Mei', 'Savannah', 'Diego', 'Rachel',
           'Andre', 'Naomi', 'Garrett', 'Lakshmi', 'Caleb', 'Jasmine', 'Owen'],
     ARRAY['Whitaker', 'Delgado', 'Brooks', 'Nguyen', 'Sutherland', 'Carver', 'Ramirez',
           'Holloway', 'Kim', 'Beckett', 'Okonkwo', 'Lindgren', 'Reyes', 'Hawkins', 'Iyer',
           'Prescott']),
    ('CA', 3, 'USD', ARRAY['Inc.', 'Ltd.'], ARRAY['Toronto', 'Montréal', 'Calgary', 'Halifax'],
     '+161355501##',
     ARRAY['Noah', 'Chantal', 'Gurpreet', 'Maude', 'Liam', 'Aisha', 'Philippe', 'Hannah'],
     ARRAY['Tremblay', 'Sandhu', 'MacIsaac', 'Bouchard', 'Fraser', 'Lavoie', 'Chow',
           'Whitehorn']),
    ('IN', 2, 'USD', ARRAY['Pvt. Ltd.'], ARRAY['Bengaluru', 'Pune', 'Hyderabad'], NULL,
     ARRAY['Ananya', 'Rohan', 'Divya', 'Karthik', 'Meera', 'Arjun'],
     ARRAY['Krishnan', 'Deshpande', 'Banerjee', 'Menon', 'Chaudhary', 'Rao'])
    ) AS c (country, weight, currency, suffixes, cities, phone, first_names, last_names);
END;
COMMENT ON FUNCTION saleshub.sample_countries() IS
    'Where sample leads come from: names, cities, legal forms; # in phone is a digit';

CREATE FUNCTION saleshub.sample_places(
    OUT country text, OUT city text, OUT state text, OUT postal text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
    ('DE', 'Berlin', 'Berlin', '10###'), ('DE', 'Hamburg', 'Hamburg', '20###'),
    ('DE', 'München', 'Bayern', '80###'), ('DE', 'Köln', 'Nordrhein-Westfalen', '50###'),
    ('DE', 'Leipzig', 'Sachsen', '04###'), ('DE', 'Stuttgart', 'Baden-Württemberg', '70###'),
    ('DE', 'Bremen', 'Bremen', '28###'), ('DE', 'Nürnberg', 'Bayern', '90###'),
    ('FR', 'Paris', 'Île-de-France', '750##'), ('FR', 'Lyon', 'Auvergne-Rhône-Alpes', '690##'),
    ('FR', 'Lille', 'Hauts-de-France', '590##'),
    ('US', 'Austin', 'Texas', '787##'), ('US', 'Boston', 'Massachusetts', '021##'),
    ('US', 'Chicago', 'Illinois', '606##'), ('US', 'Denver', 'Colorado', '802##'),
    ('US', 'Portland', 'Oregon', '972##'), ('US', 'Atlanta', 'Georgia', '303##'),
    ('US', 'Columbus', 'Ohio', '432##'), ('US', 'San Diego', 'California', '921##')
    ) AS p (country, city, state, postal);
END;
COMMENT ON FUNCTION saleshub.sample_places() IS
    'States and postal codes of some cities; # in a code is a digit';

CREATE FUNCTION saleshub.sample_industries(
    OUT industry text, OUT weight int, OUT employees int, OUT revenue_each int, OUT appeal float8,
    OUT nouns text[])
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
    ('Software', 18, 60, 140000, 0.5::float8,
     ARRAY['Software', 'Systems', 'Cloud', 'Data', 'Digital', 'Analytics', 'Apps', 'Labs']),
    ('Manufacturing', 16, 180, 190000, 0.2,
     ARRAY['Works', 'Tooling', 'Plastics', 'Precision', 'Machinery', 'Components', 'Castings']),
    ('Logistics', 9, 150, 160000, 0.3,
     ARRAY['Logistics', 'Freight', 'Shipping', 'Haulage', 'Warehousing', 'Express']),
    ('Retail', 10, 90, 210000, -0.2,
     ARRAY['Stores', 'Outfitters', 'Market', 'Home', 'Trading', 'Supply']),
    ('Healthcare', 9, 120, 120000, 0.1,
     ARRAY['Clinics', 'Medical', 'Diagnostics', 'Care', 'Pharma', 'Dental']),
    ('Finance', 8, 110, 260000, 0.4,
     ARRAY['Capital', 'Insurance', 'Leasing', 'Payments', 'Advisory']),
    ('Professional services', 9, 35, 110000, 0.1,
     ARRAY['Consulting', 'Partners', 'Engineering', 'Legal', 'Staffing', 'Architects']),
    ('Education', 6, 70, 60000, -0.5,
     ARRAY['Academy', 'Learning', 'College', 'Training', 'Press']),
    ('Energy', 5, 140, 320000, 0.1,
     ARRAY['Energy', 'Solar', 'Grid', 'Wind', 'Power']),
    ('Construction', 5, 75, 170000, -0.3,
     ARRAY['Construction', 'Builders', 'Roofing', 'Interiors', 'Timber']),
    ('Hospitality', 3, 45, 70000, -0.6,
     ARRAY['Hotels', 'Catering', 'Events', 'Travel']),
    ('Public sector', 2, 220, 50000, -0.4,
     ARRAY['Utilities', 'Transit', 'Housing', 'Waterworks'])
    ) AS i (industry, weight, employees, revenue_each, appeal, nouns);
END;
COMMENT ON FUNCTION saleshub.sample_industries() IS
    'Industries of sample firms: median size, revenue per head, how well they convert';

CREATE FUNCTION saleshub.sample_sources(
    OUT source text, OUT weight int, OUT appeal float8)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
    ('website', 28, 0.1::float8), ('search ads', 15, -0.2), ('referral', 11, 0.9),
    ('social', 11, -0.5), ('webinar', 10, 0.3), ('event', 9, 0.0), ('partner', 7, 0.7),
    ('newsletter', 5, -0.3), ('cold call', 4, -1.0)
    ) AS s (source, weight, appeal);
END;
COMMENT ON FUNCTION saleshub.sample_sources() IS
    'Where sample leads were won, and how good they are';

CREATE FUNCTION saleshub.sample_titles(
    OUT title text, OUT weight int, OUT appeal float8)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
    ('CEO', 7, 0.7::float8), ('Founder', 4, 0.5), ('Managing Director', 7, 0.7), ('CFO', 3, 0.5),
    ('COO', 4, 0.6), ('CTO', 4, 0.4), ('VP Sales', 7, 1.0), ('Head of Sales', 10, 1.1),
    ('Sales Manager', 12, 0.5), ('Sales Operations Manager', 7, 0.8), ('Head of Marketing', 6, 0.3),
    ('Marketing Manager', 8, -0.1), ('IT Manager', 7, 0.0), ('Office Manager', 4, -0.7),
    ('Business Analyst', 4, -0.4), ('Account Executive', 3, -0.3), ('Intern', 1, -2.0),
    ('Student', 2, -2.5)
    ) AS t (title, weight, appeal);
END;
COMMENT ON FUNCTION saleshub.sample_titles() IS
    'Titles of sample leads, and how well they convert';

CREATE FUNCTION saleshub.sample_products(
    OUT product text, OUT from_seats int, OUT below_seats int, OUT seat_price int,
    OUT appeal float8)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM (VALUES
    ('Starter', 0, 12, 290, 0.35::float8), ('Team', 12, 45, 540, 0.1),
    ('Business', 45, 160, 780, -0.1), ('Enterprise', 160, 1000000000, 1140, -0.35)
    ) AS p (product, from_seats, below_seats, seat_price, appeal);
END;
COMMENT ON FUNCTION saleshub.sample_products() IS
    'What Acme Demo sells, by number of seats; price of a seat and year in the deal''s currency';

CREATE FUNCTION saleshub.sample_roots()
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[
    'Velorin', 'Kastara', 'Brenvik', 'Ostrevane', 'Lumetra', 'Hallowick', 'Tervando', 'Quillmere',
    'Nordhavel', 'Altessa', 'Grundmark', 'Solvarre', 'Pinnvale', 'Marisgate', 'Tolvanen Ridge',
    'Ebrecht', 'Castelmoor', 'Vintara', 'Oakhelm', 'Rivanor', 'Stellvane', 'Zephira', 'Dunmarrow',
    'Falkenried', 'Ilvara', 'Jutevall', 'Kelmscar', 'Lindenau', 'Montevar', 'Nimbari', 'Orlanthe',
    'Petrakis Bay', 'Quorvane', 'Rothmere', 'Sandholt', 'Tressel', 'Umbrant', 'Vasterby',
    'Wexbourne', 'Yarrowby', 'Zollhaven', 'Amberlyn', 'Birkdahl', 'Corvessa', 'Drayholt',
    'Ellesbrook', 'Fenmarch', 'Glaskow Hill', 'Harrowmont', 'Innvik', 'Jasperel', 'Kornbray',
    'Larkstead', 'Mistralo', 'Nettlecombe', 'Osterfeld', 'Palvanto', 'Quantrell', 'Ravensholm',
    'Silvacrest', 'Thornaby Vale', 'Ulvestad', 'Verdanza', 'Wintermoor', 'Xanderby', 'Ysolde',
    'Zintara', 'Arvensis', 'Bellmarsh', 'Cinderford Lane', 'Dovrefell', 'Eastmarrow', 'Flintacre',
    'Greylock Bay', 'Hazelrigg', 'Ironvale', 'Juniperus', 'Kestrelby', 'Lowenthal', 'Mirabeck'];
COMMENT ON FUNCTION saleshub.sample_roots() IS
    'First words of the names of sample firms';

CREATE FUNCTION saleshub.sample_people(
    seed text, OUT member_id uuid, OUT name text, OUT email text, OUT role text, OUT team text,
    OUT share int)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT saleshub.sample_id('2020-01-06 08:00:00+00'::timestamptz + interval '1 minute' * n,
                              seed || ' member ' || name),
           name,
           saleshub.sample_ascii(split_part(name, ' ', 1)) || '.'
           || saleshub.sample_ascii(split_part(name, ' ', 2)) || '@saleshub.example',
           role, team, share
    FROM (VALUES
        (1, 'Ines Hartung', 'manager', 'Sales', 0),
        (2, 'Mirko Falk', 'manager', 'Central Europe', 0),
        (3, 'Chloe Ashby', 'manager', 'West and South', 0),
        (4, 'Ravi Menon', 'manager', 'UK and overseas', 0),
        (5, 'Lena Brandt', 'rep', 'Central Europe', 3),
        (6, 'Tim Oberle', 'rep', 'Central Europe', 3),
        (7, 'Selin Aydın', 'rep', 'Central Europe', 2),
        (8, 'Nils Ekberg', 'rep', 'Central Europe', 1),
        (9, 'Manon Lacroix', 'rep', 'West and South', 3),
        (10, 'Bas Vermeer', 'rep', 'West and South', 2),
        (11, 'Laura Quiroga', 'rep', 'West and South', 2),
        (12, 'Pietro Sala', 'rep', 'West and South', 1),
        (13, 'Gemma Holt', 'rep', 'UK and overseas', 3),
        (14, 'Obi Adeyemi', 'rep', 'UK and overseas', 2),
        (15, 'Kelly Tran', 'rep', 'UK and overseas', 2),
        (16, 'Jack Renner', 'rep', 'UK and overseas', 1),
        (17, 'Vera Zahl', 'readonly', NULL, 0)
    ) AS p (n, name, role, team, share);
END;
COMMENT ON FUNCTION saleshub.sample_people(text) IS
    'The members of the sample organisation beside its admin; share is their weight in routing';
